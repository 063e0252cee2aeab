"""One VOC annotation file: XML in, checked boxes out."""

import math
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse

from detection.data.corners import CORNERS, are_fractions, from_voc_corners, to_voc_corners
from detection.data.records import AnnotationError, ObjectRecord, cut_at_borders
from detection.file_reading import MAX_TEXT, open_file


class Annotation(NamedTuple):
    """What one annotation file says."""

    filename: str
    """The ``<filename>`` tag; empty if missing."""
    size: tuple[int, int] | None
    """``(height, width)`` from the ``<size>`` tag; None if missing or zero."""
    objects: tuple[ObjectRecord, ...]


def parse_annotation(path: Path | str) -> Annotation:
    """Reads one VOC annotation file.

    The boxes have continuous edges (`from_voc_corners`). They may still stick out of the image: see
    `clip_to_image`.

    Args:
        path: an XML file in the VOC format. A missing ``<difficult>`` means 0.

    Raises:
        AnnotationError: the XML is broken, unsafe or of another format, or an object lacks a name or a valid
            box.
    """
    path = Path(path)
    try:
        with open_file(path, MAX_TEXT) as file:
            root: Element = parse(file).getroot()
    except DefusedXmlException as error:  # a ValueError, which the next clause would take
        raise AnnotationError(
            f"{path} declares XML entities, which VOC annotations never do and which can exhaust the memory: "
            "refused. Remove its <!DOCTYPE> part"
        ) from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding that does not exist
        raise AnnotationError(
            f"{path} is not well-formed XML ({error}): export it again or repair it"
        ) from error
    found = root.findall("object")
    if root.tag.casefold() != "annotation" or (not found and root.find(".//bndbox") is not None):
        raise AnnotationError(
            f"{path} is not an annotation in VOC's format, which is <annotation> with an <object> for each "
            "object: export it again or remove it"
        )
    objects = tuple(
        _parse_object(element, f"{path}: object {number}") for number, element in enumerate(found, 1)
    )
    return Annotation(_text(root, "filename"), _parse_size(root), objects)


def clip_to_image(
    annotation: Annotation, size: tuple[int, int], path: Path | str
) -> tuple[ObjectRecord, ...]:
    """Cuts the boxes at the borders of the image.

    Sets that count pixels from 0 reach -1 here and are pulled back to 0; boxes drawn past the border are
    cut. But where the XML and the image disagree on the size, a box that sticks out by more than a pixel
    was drawn on another image, and is an error.

    Args:
        annotation: as read by `parse_annotation`.
        size: ``(height, width)`` of the image on disk.
        path: the annotation file, for messages.

    Raises:
        AnnotationError: a box is wholly outside, or belongs to an image of another size.
    """
    height, width = size
    clipped = []
    for number, item in enumerate(annotation.objects, 1):
        box = cut_at_borders(item.box, size)
        who = f"{path}: object {number} ({item.name}) with box {_as_written(item.box)}"
        if box is None:
            raise AnnotationError(
                f"{who} lies outside its image of {width}x{height} pixels: correct the box or remove it"
            )
        sticks_out = max(abs(a - b) for a, b in zip(box, item.box, strict=True)) > 1
        if sticks_out and annotation.size is not None and annotation.size != size:
            xml_height, xml_width = annotation.size
            raise AnnotationError(
                f"{who} does not fit its image of {width}x{height} pixels, while <size> says "
                f"{xml_width}x{xml_height}: was the image resized or rotated (EXIF) after it was annotated?"
            )
        clipped.append(item._replace(box=box))
    return tuple(clipped)


def _parse_object(element: Element, who: str) -> ObjectRecord:
    name = _text(element, "name")
    if not name:
        raise AnnotationError(f"{who} has no <name>: give it its class name or remove the object")
    who = f"{who} ({name})"
    bndbox = element.find("bndbox")
    if bndbox is None:
        raise AnnotationError(f"{who} has no <bndbox>: add its box or remove the object")
    written = tuple(_coordinate(bndbox, corner, who) for corner in CORNERS)
    if are_fractions(written):
        raise AnnotationError(
            f"{who} has the box ({_format(written)}), in fractions of the image's sides: VOC's corners are "
            "pixels, counted from 1; multiply them by the image's width and height"
        )
    box = x1, y1, x2, y2 = from_voc_corners(written)
    if x2 <= x1 or y2 <= y1:
        raise AnnotationError(
            f"{who} has the empty or inverted box ({_format(written)}); xmin <= xmax and ymin <= ymax must "
            "hold: swap or correct the corners, or remove the object"
        )
    return ObjectRecord(name, box, _text(element, "difficult") == "1")


def _coordinate(bndbox: Element, corner: str, who: str) -> float:
    text = _text(bndbox, corner)
    if not text:
        raise AnnotationError(f"{who} has no <{corner}> in its <bndbox>: add it or remove the object")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{who} has <{corner}>{text}</{corner}>, which is not a number: correct it")
    return value


def _parse_size(root: Element) -> tuple[int, int] | None:
    try:
        height, width = int(float(_text(root, "size/height"))), int(float(_text(root, "size/width")))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _as_written(box: tuple[float, ...]) -> str:
    return f"({_format(to_voc_corners(box))})"


def _format(values: tuple[Any, ...]) -> str:
    return ", ".join(f"{corner}={value:g}" for corner, value in zip(CORNERS, values, strict=True))
