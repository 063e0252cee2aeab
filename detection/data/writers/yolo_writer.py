"""YOLO's format: a text file of normalised boxes per image, and the ``data.yaml`` that describes the set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml


def write_yolo_labels(
    path: Path,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    scores: Sequence[float] | None = None,
) -> None:
    """Writes one image's objects, a line each: ``class x y width height``, relative to the image.

    Args:
        path: the text file to write.
        size: ``(height, width)`` of the image.
        boxes: ``xyxy`` in pixels.
        labels: class of each box, ``0..C-1``.
        scores: a sixth column where given, for detections.
    """
    height, width = size
    lines = []
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        x1, y1, x2, y2 = map(float, box)
        values = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
        values += [] if scores is None else [float(scores[number])]
        # Nine digits place a corner to a thousandth of a pixel in an image of any size.
        lines.append(" ".join([str(label), *(f"{value:.9f}" for value in values)]) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def write_data_yaml(path: Path, class_names: Sequence[str], splits: Mapping[str, str]) -> None:
    """Writes the description of a set.

    Args:
        path: the YAML file to write, at the root of the set.
        class_names: name of each class.
        splits: the folder of each split's images, relative to the file.
    """
    content = {**splits, "names": dict(enumerate(class_names))}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
