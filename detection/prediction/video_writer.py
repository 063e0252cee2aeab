"""A video file with boxes."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


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
