"""The files that a prediction leaves, and what it says at its end."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from detection.data.image_sources import ImageFile
from detection.drawing.painter import draw_detections
from detection.system.files import json_of, write_text
from detection.system.wording import counted
from detection.types import Detections


class Result(NamedTuple):
    """What was found in one image."""

    file: ImageFile
    size: tuple[int, int]
    """``(height, width)`` of the upright image."""
    detections: Detections
    expected_mistakes: float
    """See ``uncertainty.expected_mistakes``."""


class Skipped(NamedTuple):
    """An image that could not be read."""

    name: str
    reason: str


def save_picture(path: Path, image: NDArray[np.uint8], detections: Detections, names: Sequence[str]) -> None:
    """Draw an image's detections and write the picture.

    Args:
        path: file to write; its ending chooses the format.
        image: ``(H, W, 3)`` RGB.
        detections: in the pixels of the image.
        names: class names by label.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(draw_detections(image, detections, names))
    try:
        picture.save(path, quality=92)  # formats without losses have no use for it
    except OSError as error:  # which does not say of which file: a full disk
        raise OSError(f"{path} cannot be written: {error.strerror or error}.") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file with one image or frame per line, for people; whole or not at all."""
    head = _lines({key: value for key, value in content.items() if not _is_table(value)})
    tables = [
        f"{json.dumps(key)}: [\n" + ",\n".join(map(json_of, value)) + "\n]"
        for key, value in content.items()
        if _is_table(value)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "{\n" + ",\n".join([*head, *tables]) + "\n}\n")


class JSONRows:
    """A JSON file of the same form with one table, whose rows are written one by one.

    Args:
        path: file to write.
        head: what stands before the table.
        table: its key.
    """

    def __init__(self, path: Path, head: dict[str, Any], table: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._file.write("{\n" + ",\n".join([*_lines(head), f"{json.dumps(table)}: ["]))
        self._before = "\n"

    def add(self, row: dict[str, Any]) -> None:
        """Write the next row."""
        self._file.write(self._before + json_of(row))
        self._before = ",\n"

    def close(self) -> None:
        """Finish the file."""
        self._file.write("\n]\n}\n")
        self._file.close()


def described(detections: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """Detections as plain values: ``class``, ``score``, ``box`` (xyxy pixels) and, if followed, ``track``."""
    rows: list[dict[str, Any]] = [
        {"class": names[label], "score": round(score, 4), "box": [round(value, 2) for value in box]}
        for box, score, label in zip(*_plain(detections), strict=True)
    ]
    if "tracks" in detections:
        for row, track in zip(rows, detections["tracks"].tolist(), strict=True):
            row["track"] = track
    return rows


def image_row(result: Result, names: Sequence[str]) -> dict[str, Any]:
    """One image of ``detections.json``."""
    height, width = result.size
    found = described(result.detections, names)
    return {"file": result.file.name, "width": width, "height": height, "detections": found}


def _plain(detections: Detections) -> tuple[list[list[float]], list[float], list[int]]:
    return detections["boxes"].tolist(), detections["scores"].tolist(), detections["labels"].tolist()


def _lines(head: dict[str, Any]) -> list[str]:
    return [f"{json.dumps(key)}: {json_of(value)}" for key, value in head.items()]


def _is_table(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


_MAX_SKIPPED = 10  # named on the terminal; all of them are in detections.json


def print_report(
    what: str,
    counts: Counter[str],
    skipped: Sequence[Skipped],
    output: Path,
    threshold: float,
) -> None:
    """Print the detections of each class, what was skipped, and where the files are.

    Args:
        what: what was looked at and how long it took.
        counts: detections of each class.
        skipped: images that could not be read.
        output: the folder that was written.
        threshold: the least score of a detection.
    """
    # Not cut or wrapped where the output is a file: lines there can be any length.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if counts:
        table = Table("class", show_edge=False)
        table.add_column("detections", justify="right")
        for name, count in counts.most_common():
            table.add_row(name, str(count))
        console.print(table)
    found = f"{counted(counts.total(), 'detection')} at threshold={threshold:g}"
    console.print(f"{what}: {found}. Written to {output}")
    if skipped:
        console.print(f"{len(skipped)} could not be read and were skipped:")
        for name, reason in skipped[:_MAX_SKIPPED]:
            console.print(f"  {name}: {reason}")
        if len(skipped) > _MAX_SKIPPED:
            console.print(f"  ... and {len(skipped) - _MAX_SKIPPED} more")
