"""One VOC annotation file per image: boxes out, 1-based whole pixels in XML."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from detection.data.annotation import CORNERS
from detection.data.records import Box


def write_voc(
    path: Path,
    image_name: str,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
    difficult: Sequence[bool] | None = None,
) -> None:
    """Writes one image's objects.

    Args:
        path: the XML file to write.
        image_name: file name of the image in ``JPEGImages``.
        size: ``(height, width)`` of the image.
        boxes: ``xyxy`` in pixels, 0-based, rounded by `voc_corners`.
        labels: class of each box, ``0..C-1``.
        class_names: name of each class.
        scores: written as ``<score>`` where given, for detections.
        difficult: written as ``<difficult>``; 0 where not given.
    """
    root = Element("annotation")
    _add(root, "filename", image_name)
    size_element = SubElement(root, "size")
    for tag, value in (("width", size[1]), ("height", size[0]), ("depth", 3)):
        _add(size_element, tag, value)
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        item = SubElement(root, "object")
        _add(item, "name", class_names[label])
        _add(item, "difficult", int(difficult is not None and difficult[number]))
        if scores is not None:
            _add(item, "score", f"{scores[number]:.6f}")
        bndbox = SubElement(item, "bndbox")
        for tag, value in zip(CORNERS, voc_corners(box, size), strict=True):
            _add(bndbox, tag, value)
    indent(root)
    ElementTree(root).write(path, encoding="utf-8")


def voc_corners(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rounds a box to VOC's corners: whole pixels, from 1 to the image's width and height.

    A box that rounding would empty keeps one pixel between its corners.

    Args:
        box: ``xyxy`` in pixels, 0-based.
        size: ``(height, width)`` of the image.

    Returns:
        ``xmin, ymin, xmax, ymax`` as VOC writes them.
    """
    xmin, xmax = _ends(box[0], box[2], size[1])
    ymin, ymax = _ends(box[1], box[3], size[0])
    return xmin, ymin, xmax, ymax


def from_voc_corners(corners: tuple[int, int, int, int]) -> Box:
    """Returns the box that a reader makes of VOC's corners."""
    xmin, ymin, xmax, ymax = corners
    return xmin - 1, ymin - 1, xmax - 1, ymax - 1


def _ends(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(round(low) + 1, 1), max(length - 1, 1))
    return first, max(min(round(high) + 1, length), first + 1)


def _add(parent: Element, tag: str, value: object) -> None:
    SubElement(parent, tag).text = str(value)
