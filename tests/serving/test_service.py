"""Batches of requests, each with an answer of its own."""

import io
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.responses import JSONResponse

import detection
from detection.prediction.detector import Detector
from detection.prediction.selection import Selection
from detection.serving.requests import Wanted
from detection.serving.service import DetectionAPI
from detection.settings import Serve
from detection.types import Detections

CLASSES = ["circle", "square", "star"]


class Counting:
    """A detector that notes the sizes of its batches."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.class_names = detector.class_names
        self.sizes: list[int] = []

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        self.sizes.append(len(images))
        if any(image.shape[0] == 7 for image in images):
            raise RuntimeError("The memory is full.")
        return self.detector(images)


@pytest.fixture(scope="module")
def detector(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Detector:
    return detection.load(write_checkpoint(tmp_path_factory.mktemp("ssd"), "quickstart", CLASSES), "cpu")


@pytest.fixture
def counting(detector: Detector) -> Counting:
    return Counting(detector)


def api(counting: Counting, **options: Any) -> DetectionAPI:
    made = DetectionAPI(Serve("best.ckpt", **options), workers=1)
    made.detector = counting  # type: ignore[assignment]
    return made


def wanted(seed: int, height: int = 90, threshold: float = 0.3) -> Wanted:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((120, height), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return Wanted(buffer.getvalue(), Selection(threshold))


def content(answer: JSONResponse) -> Any:
    return json.loads(bytes(answer.body))


def test_a_bad_image_spoils_no_other_answer(counting: Counting) -> None:
    good = [wanted(1, threshold=0.4), wanted(2)]
    alone = [content(api(counting).answer([one])[0]) for one in good]
    answers = api(counting).answer([good[0], Wanted(b"no image", Selection(0)), good[1]])
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert counting.sizes == [1, 1, 2]
    for answer, expected in zip((answers[0], answers[2]), alone, strict=True):
        found = content(answer)
        assert len(found["detections"]) == len(expected["detections"]) > 0
    assert len(alone[1]["detections"]) > len(alone[0]["detections"])


def test_without_an_image_the_network_is_not_asked(counting: Counting) -> None:
    (answer,) = api(counting).answer([Wanted(b"no image", Selection(0))])
    assert (answer.status_code, counting.sizes) == (400, [])
    assert api(counting).answer([]) == []


def test_a_failure_of_the_network_is_answered_and_not_its_end(counting: Counting) -> None:
    service = api(counting)
    (answer,) = service.answer([wanted(0, height=7)])
    assert answer.status_code == 500
    assert content(answer)["detail"].startswith("The network failed on this image")
    assert service.answer([wanted(0)])[0].status_code == 200


class Transport:
    """Keeps what the loop sends; ends it after so many answers."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent: dict[str, Any] = {}

    def send(self, item: Any, consumer_id: int) -> None:
        uid, (answer, *_) = item
        self.sent[uid] = answer
        if len(self.sent) == self.most:
            raise StopAsyncIteration


def work(service: DetectionAPI, waiting: "queue.Queue[Any]", count: int) -> dict[str, Any]:
    """Run the loop until it has answered so many."""
    transport = Transport(count)
    with pytest.raises(StopAsyncIteration):
        service.loop(service, "cpu", 0, waiting, transport, {}, None)
    return transport.sent


def test_what_waits_is_taken_in_batches(counting: Counting) -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    for number in range(10):
        waiting.put((0, f"{number}", time.monotonic(), wanted(number)))
    answers = work(api(counting, batch_size=4, wait=0.0), waiting, 10)
    assert counting.sizes == [4, 4, 2]
    assert {answer.status_code for answer in answers.values()} == {200}


def test_the_first_of_a_batch_waits_for_others(counting: Counting) -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    waiting.put((0, "first", time.monotonic(), wanted(1)))
    later = threading.Timer(0.2, waiting.put, [(0, "second", time.monotonic(), wanted(2))])
    later.start()
    work(api(counting, batch_size=2, wait=20.0), waiting, 2)
    assert counting.sizes == [2]


def test_what_has_waited_for_too_long_is_refused(counting: Counting) -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    waiting.put((0, "late", time.monotonic() - 31, wanted(1)))
    waiting.put((0, "early", time.monotonic(), wanted(2)))
    answers = work(api(counting, timeout=30), waiting, 2)
    assert {uid: answer.status_code for uid, answer in answers.items()} == {"late": 504, "early": 200}
    assert counting.sizes == [1]
