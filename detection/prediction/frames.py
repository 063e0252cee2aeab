"""What was found in the frames of a video, counted and written while it is found."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detection.prediction.writing import JSONRows, described
from detection.types import Detections


class FrameResult(NamedTuple):
    """What was found in one frame."""

    seconds: float
    """Since the beginning: by the time stamps of a file, by the clock for a webcam."""
    size: tuple[int, int]
    """``(height, width)``."""
    detections: Detections


class FrameRecord:
    """Counts what is found, and writes ``detections.json`` frame by frame: a long video takes no more memory.

    Args:
        path: the file, which is made with the first frame; None writes none.
        about: what it says before the frames.
        class_names: names by label.
    """

    def __init__(self, path: Path | None, about: dict[str, Any], class_names: Sequence[str]) -> None:
        self.count = 0
        """Of frames."""
        self.seconds = 0.0
        """When the last one is shown."""
        self.by_class: Counter[str] = Counter()
        """Detections of each class."""
        self._path, self._about, self._names = path, about, class_names
        self._rows: JSONRows | None = None

    def add(self, frame: FrameResult) -> None:
        """Take the next frame."""
        if self._path is not None and self._rows is None:
            height, width = frame.size
            self._rows = JSONRows(self._path, {**self._about, "width": width, "height": height}, "frames")
        if self._rows is not None:
            found = described(frame.detections, self._names)
            row = {"frame": self.count, "seconds": round(frame.seconds, 4), "detections": found}
            self._rows.add(row)
        self.seconds = frame.seconds
        self.by_class.update(self._names[label] for label in frame.detections["labels"].tolist())
        self.count += 1

    def close(self) -> None:
        """Finish the file."""
        if self._rows is not None:
            self._rows.close()
