"""Frames of a video file or a webcam."""

import itertools
import math
import os
import time
from collections.abc import Generator, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.image_sources import VideoFile, Webcam

_FALLBACK_FPS = 25.0  # where the rate is missing, or impossible


class Frame(NamedTuple):
    """A picture of a video."""

    seconds: float
    """Since the first one: by the time stamps of a file, by the clock for a webcam."""
    image: NDArray[np.uint8]
    """``(H, W, 3)`` RGB, upright."""


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
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # likewise
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
        """Frames per second, on average."""
        count = 0 if self.live else int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 else None
        """How many frames its header announces; None where it does not say."""

    def batches(self, size: int) -> Generator[list[Frame]]:
        """Yield the frames, up to ``size`` at a time."""
        frames = self._frames()
        while batch := list(itertools.islice(frames, size)):
            yield batch

    def close(self) -> None:
        """Give the file or the camera back."""
        self._capture.release()

    def _frames(self) -> Iterator[Frame]:
        seconds, started = -1.0, 0.0
        while True:
            there, frame = self._capture.read()
            if not there:
                return
            if seconds < 0:
                seconds, started = 0.0, time.monotonic()
            else:
                now = (
                    time.monotonic() - started
                    if self.live
                    else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                )
                # Damaged files, and some that never had them, are without time stamps.
                seconds = now if seconds < now < math.inf else seconds + 1 / self.fps
            yield Frame(seconds, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8))
