"""Frames of a video file or a webcam."""

import itertools
from collections.abc import Generator, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.image_sources import VideoFile, Webcam

_FALLBACK_FPS = 25.0  # where the rate is missing, or impossible


class Capture:
    """An open video file or webcam.

    Args:
        source: what to open.

    Raises:
        ValueError: it cannot be opened.
    """

    def __init__(self, source: VideoFile | Webcam) -> None:
        # What OpenCV says about drivers is repeated below in plain words.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self.source = source
        self.live = isinstance(source, Webcam)
        self._capture = cv2.VideoCapture(source.number if isinstance(source, Webcam) else str(source.path))
        if not self._capture.isOpened():
            raise ValueError(
                f"webcam {source.number} cannot be opened: is it connected, and used by nobody else?"
                if isinstance(source, Webcam)
                else f"{source.path} cannot be opened as a video: it is damaged, or of an unknown codec."
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else _FALLBACK_FPS
        """Frames per second."""
        count = 0 if self.live else int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 else None
        """How many frames its header announces; None where it does not say."""

    def batches(self, size: int) -> Generator[list[NDArray[np.uint8]]]:
        """Yield the frames, up to ``size`` at a time, each ``(H, W, 3)`` RGB."""
        frames = self._frames()
        while batch := list(itertools.islice(frames, size)):
            yield batch

    def close(self) -> None:
        """Give the file or the camera back."""
        self._capture.release()

    def _frames(self) -> Iterator[NDArray[np.uint8]]:
        while True:
            there, frame = self._capture.read()
            if not there:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
