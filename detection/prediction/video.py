"""Detection in the frames of a video or a webcam, and the window that shows it."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.drawing.painter import draw_detections
from detection.prediction.capture import Capture, Frame
from detection.prediction.frames import FrameResult
from detection.prediction.tracking import Identities
from detection.prediction.video_files import open_writer
from detection.system.progress import Tracker
from detection.types import Detections

_TITLE = "detection (q ends)"


def has_window() -> bool:
    """Open the window; False without a screen, or where OpenCV was built without windows."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False  # trying would end the process
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    return True


def show(frame: NDArray[np.uint8]) -> bool:
    """Show an ``(H, W, 3)`` RGB frame; False when the user pressed q or Esc."""
    cv2.imshow(_TITLE, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)


Item = TypeVar("Item")


def prefetched(items: Iterator[Item]) -> Generator[Item]:
    """Yield the items of an iterator, each made while the one before it is used.

    Args:
        items: used by one thread at a time. What it raises is raised at the item's place.
    """
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # it is not the end


Frames = Sequence[NDArray[np.uint8]]


class VideoFindings(NamedTuple):
    """How the detection in a video ended."""

    seconds: float
    """The time it took."""
    interrupted: bool
    """Whether Ctrl-C, or q in the window, ended it."""


def predict_video(
    detect: Callable[[Frames], list[Detections]],
    capture: Capture,
    batch_size: int,
    video: Path | None,
    class_names: Sequence[str],
    keep: Callable[[FrameResult], None],
    identities: Identities | None = None,
) -> VideoFindings:
    """Detect in every frame until the end, or until Ctrl-C; the written file is whole either way.

    Memory does not grow with the length: frames of a file are read a batch ahead of the detector, drawn and
    written a batch behind it. A webcam's are taken one by one, and shown where there is a screen.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        capture: what to read; it is closed.
        batch_size: frames of a file in one call of ``detect``.
        video: the MP4 to write with boxes, each frame at its time in the source; None writes none.
        class_names: names by label.
        keep: takes what was found in each frame.
        identities: follows objects from frame to frame; None for detections alone.
    """
    batches = capture.batches(1) if capture.live else prefetched(capture.batches(batch_size))
    writer = open_writer(video, capture) if video else None
    window = capture.live and has_window()

    def finish(frame: Frame, found: Detections) -> NDArray[np.uint8] | None:
        found = identities(found, frame.seconds) if identities else found
        drawn = draw_detections(frame.image, found, class_names) if writer or window else frame.image
        if writer:
            writer.write(drawn, frame.seconds)
        keep(FrameResult(frame.seconds, (drawn.shape[0], drawn.shape[1]), found))
        return drawn if window else None

    whole = interrupted = False
    finishing: list[Future[NDArray[np.uint8] | None]] = []
    # In a thread of its own, where Ctrl-C never parts a frame that is written from what is kept of it.
    with Tracker("frames", capture.count) as progress, ThreadPoolExecutor(max_workers=1) as behind:
        try:
            for batch in batches:
                results = detect([frame.image for frame in batch])
                _wait(finishing)
                for frame, found in zip(batch, results, strict=True):
                    finishing.append(behind.submit(finish, frame, found))
                    if window and (drawn := finishing[-1].result()) is not None and not show(drawn):
                        raise KeyboardInterrupt
                progress.advance(len(batch))
            _wait(finishing)
            whole = True
        except KeyboardInterrupt:
            interrupted = True
        finally:
            batches.close()  # ends the thread that reads before its file is closed
            behind.shutdown()
            capture.close()
            if writer:
                writer.close(whole)
    _wait(finishing)
    return VideoFindings(progress.seconds, interrupted)


def _wait(finishing: list[Future[NDArray[np.uint8] | None]]) -> None:
    for future in finishing:
        future.result()
    finishing.clear()
