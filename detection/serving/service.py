"""A detector behind LitServe: requests are batched, and answered with detections.

LitServe runs HTTP in one process and the network in others, with queues between them. Its own loops ask the
queue a thousand times a second while there is nothing to do, and let one bad image spoil the answers of its
batch, so the loop is ours.
"""

import logging
import queue
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_char
from multiprocessing import RawArray
from typing import Annotated, Any

import cv2
import litserve
import numpy as np
import torch
from fastapi import Depends
from litserve.loops.base import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType
from numpy.typing import NDArray
from starlette.responses import JSONResponse

from detection.checkpoints.loading import load
from detection.data.image_files import ImageError, decode_image, read_header
from detection.prediction.detector import Detector
from detection.prediction.writing import described
from detection.serving.requests import PATH, Wanted, read_request
from detection.settings import Serve
from detection.system.processes import end_with_parent, num_cores
from detection.types import Detections

# The queue is in another process, which hands the next request to one that was killed while it waited.
_LOOK_SECONDS = 0.5
_UID = 37  # characters of LitServe's name of a request, and a blank
_logger = logging.getLogger(__name__)


class Loop(LitLoop):  # type: ignore[misc]  # LitServe has no types
    """Takes what waits, up to a batch, and answers each request of it."""

    def __call__(
        self,
        lit_api: "DetectionAPI",
        device: str,
        worker_id: int,
        request_queue: "queue.Queue[Any]",
        transport: Any,
        workers_setup_status: Any,
        callback_runner: Any,
    ) -> None:
        """Work until the process is ended; the arguments are LitServe's."""
        settings = lit_api.settings
        held = lit_api.held[worker_id]
        while True:
            uids, wanted = [], []
            for _, uid, since, request in _take(request_queue, settings.batch_size, settings.wait):
                if time.monotonic() - since > settings.timeout:
                    late = f"The request waited for more than {settings.timeout} s: there are too many."
                    self.put(transport, uid, refusal(504, late))
                else:
                    uids.append(uid)
                    wanted.append(request)
            held.value = " ".join(uids).encode()
            for uid, answer in zip(uids, lit_api.answer(wanted), strict=True):
                self.put(transport, uid, answer)
            held.value = b""

    def put(self, transport: Any, uid: str, answer: JSONResponse) -> None:
        """Send an answer to the process that speaks HTTP, of which there is one.

        Args:
            transport: LitServe's.
            uid: LitServe's name of the request.
            answer: what its client gets.
        """
        self.put_response(transport, 0, uid, answer, LitAPIStatus.OK, LoopResponseType.REGULAR)


def _take(waiting: "queue.Queue[Any]", most: int, wait: float) -> list[Any]:
    """Take at least one thing from a queue, and what comes within a time after it."""
    taken: list[Any] = []
    while not taken:
        with suppress(queue.Empty):
            taken.append(waiting.get(timeout=_LOOK_SECONDS))
    end = time.monotonic() + wait
    with suppress(queue.Empty):
        while len(taken) < most:
            left = end - time.monotonic()
            taken.append(waiting.get(timeout=left) if left > 0 else waiting.get_nowait())
    return taken


class DetectionAPI(litserve.LitAPI):  # type: ignore[misc]
    """What LitServe asks of a service.

    Args:
        settings: what to serve.
        workers: how many processes with a network there are.
    """

    detector: Detector

    def __init__(self, settings: Serve, workers: int) -> None:
        super().__init__(api_path=PATH, loop=Loop())
        self.settings, self.workers = settings, workers
        self.held = [RawArray(c_char, _UID * settings.batch_size) for _ in range(workers)]
        """The requests that each is at, in memory that outlives it."""

    def setup(self, device: str) -> None:
        """Open the detector, in a process of the network.

        Args:
            device: LitServe's choice, which gives way to that of the settings.
        """
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
        torch.set_num_threads(max(1, num_cores() // self.workers))
        cv2.setNumThreads(1)
        self.detector = load(self.settings.ckpt, self.settings.device, self.settings.plugins)
        self.detector([np.zeros((64, 64, 3), np.uint8)])  # what the first image would wait for

    def decode_request(self, request: Annotated[Wanted, Depends(read_request)]) -> Wanted:
        """Say to LitServe by the annotation how a request is read."""
        return request

    def encode_response(self, output: JSONResponse) -> JSONResponse:
        """Say to LitServe by the annotation that answers are ready to be sent."""
        return output

    def answer(self, wanted: Sequence[Wanted]) -> list[JSONResponse]:
        """Answer requests, each by what is found in its image or by why there is none.

        Args:
            wanted: the requests of a batch.

        Returns:
            Their answers, in the same order.
        """
        opened = [self._open(request.content) for request in wanted]
        images = [image for image in opened if isinstance(image, np.ndarray)]
        try:
            found = iter(self.detector(images) if images else [])
        except Exception:  # the memory is full, say, which the next batch may not need
            _logger.exception("The network failed on a batch of %d images.", len(images))
            return [refusal(500, "The network failed on this image or one beside it.") for _ in wanted]
        return [
            self._row(image, request.select(next(found))) if isinstance(image, np.ndarray) else image
            for image, request in zip(opened, wanted, strict=True)
        ]

    def _open(self, content: bytes) -> NDArray[np.uint8] | JSONResponse:
        """The image, upright, or the refusal of it: first of its size, which the header says."""
        limit = self.settings.max_megapixels
        try:
            height, width = read_header(content).size
            if height * width > limit * 1_000_000:
                return refusal(
                    413, f"The image has {width}x{height} pixels, more than {limit} million: shrink it."
                )
            return decode_image(content, upright=True)
        except ImageError as error:
            return refusal(400, f"{error}.")

    def _row(self, image: NDArray[np.uint8], found: Detections) -> JSONResponse:
        rows = described(found, self.detector.class_names)
        labels = found["labels"].tolist()
        detections = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
        return JSONResponse({"width": image.shape[1], "height": image.shape[0], "detections": detections})


def refusal(status: int, sentence: str) -> JSONResponse:
    """Make the answer that there is none.

    Args:
        status: of HTTP.
        sentence: says why.
    """
    return JSONResponse({"detail": sentence}, status)
