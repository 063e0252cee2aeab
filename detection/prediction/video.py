"""Detection in the frames of a video or a webcam, and the video and the window that show it."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.drawing.painter import draw_detections
from detection.prediction.capture import Capture
from detection.system.progress import Tracker
from detection.types import Detections


class VideoWriter:
    """Writes frames as MP4 (MPEG-4 part 2), which every system's players know.

    The codec needs an even width and height: of an odd one the last column or row is left out.

    Args:
        path: the file; it is opened with the first frame, and playable once closed.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.written = 0
        self._file: cv2.VideoWriter | None = None

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Add a frame, ``(H, W, 3)`` RGB, of the size of the first.

        Raises:
            ValueError: the file cannot be written.
        """
        if self._file is None:
            height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._file = cv2.VideoWriter(str(self.path), codec, self.fps, (width, height))
            self._even = (height, width)
            if not self._file.isOpened():
                raise ValueError(f"{self.path} cannot be written: is the disk full, or the folder read-only?")
        height, width = self._even
        self._file.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
        self.written += 1

    def write_until(self, seconds: float, frame: NDArray[np.uint8]) -> None:
        """Repeat a frame until the video is ``seconds`` long, so that it plays at the speed it was filmed."""
        while self.written < max(1, round(seconds * self.fps)):
            self.write(frame)

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.release()


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


class FrameResult(NamedTuple):
    """What was found in one frame."""

    seconds: float
    """Since the beginning: by the rate of a file, by the clock for a webcam."""
    detections: Detections


class VideoFindings(NamedTuple):
    """What was found in a video."""

    frames: list[FrameResult]
    size: tuple[int, int]
    """``(height, width)``."""
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
) -> VideoFindings:
    """Detect in every frame until the end, or until Ctrl-C; the written file is whole either way.

    A webcam's frames are taken one by one, as the detector is ready for them, shown in a window where there
    is a screen, and repeated in the written file so that it plays at the speed it was filmed.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        capture: what to read; it is closed.
        batch_size: frames of a file in one call of ``detect``.
        video: the MP4 to write with boxes, at the rate of the source; None writes none.
        class_names: names by label.
    """
    frames: list[FrameResult] = []
    size, interrupted = (0, 0), False
    batches = capture.batches(1) if capture.live else prefetched(capture.batches(batch_size))
    writer = VideoWriter(video, capture.fps) if video else None
    window = capture.live and has_window()
    with Tracker("frames", capture.count) as progress:
        try:
            for batch in batches:
                for frame, found in zip(batch, detect(batch), strict=True):
                    seconds = progress.seconds if capture.live else len(frames) / capture.fps
                    frames.append(FrameResult(seconds, found))
                    size = frame.shape[0], frame.shape[1]
                    drawn = draw_detections(frame, found, class_names) if writer or window else frame
                    if writer and capture.live:
                        writer.write_until(seconds, drawn)
                    elif writer:
                        writer.write(drawn)
                    if window and not show(drawn):
                        raise KeyboardInterrupt
                progress.advance(len(batch))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            batches.close()  # ends the thread that reads before its file is closed
            capture.close()
            if writer:
                writer.close()
    return VideoFindings(frames, size, progress.seconds, interrupted)
