"""One VOC annotation file per image."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from detection.data.formats.voc import CORNERS, are_fractions, to_voc_corners, whole_voc_corners


def write_voc(
    path: Path,
    image_name: str,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
    difficult: Sequence[bool] | None = None,
    whole: bool = True,
) -> None:
    """Writes one image's objects.

    Args:
        path: the XML file to write.
        image_name: file name of the image in ``JPEGImages``.
        size: ``(height, width)`` of the image.
        boxes: ``xyxy`` in pixels.
        labels: class of each box, ``0..C-1``.
        class_names: name of each class.
        scores: written as ``<score>`` where given, for detections.
        difficult: written as ``<difficult>``; 0 where not given.
        whole: round to whole pixels, as VOC's own corners are.
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
        corners: Sequence[float] = to_voc_corners(box)
        if whole or are_fractions(corners):  # a box in the first pixel would be read as one in fractions
            corners = whole_voc_corners(box, size)
        for tag, corner in zip(CORNERS, corners, strict=True):
            _add(bndbox, tag, f"{corner:.10g}")
    indent(root)
    ElementTree(root).write(path, encoding="utf-8")


def _add(parent: Element, tag: str, value: object) -> None:
    SubElement(parent, tag).text = str(value)
