"""Boxes around what is no upright box: turned boxes, and polygons in VOC's format."""

import math
import re
from xml.etree.ElementTree import Element

from detection.data.formats.records import Box

_X, _Y = re.compile(r"x\d*"), re.compile(r"y\d*")


def box_around_turned(box: Box, degrees: float) -> Box:
    """The upright box around one that is turned about its centre; the direction does not matter."""
    if degrees % 180 == 0:
        return box  # bit for bit
    x1, y1, x2, y2 = box
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width = (x2 - x1) * cosine + (y2 - y1) * sine
    height = (x2 - x1) * sine + (y2 - y1) * cosine
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def rotation_in(attributes: object) -> float:
    """Degrees by which CVAT says that a box is turned, in COCO's ``attributes``; else 0."""
    written = attributes.get("rotation") if isinstance(attributes, dict) else None
    return _degrees(written)


def rotation_of(element: Element) -> float:
    """Degrees by which CVAT says that an ``<object>`` is turned, in its ``<attributes>``; else 0."""
    for attribute in element.iterfind("attributes/attribute"):
        if (attribute.findtext("name") or "").strip() == "rotation":
            return _degrees(attribute.findtext("value"))
    return 0.0


def outline_of(element: Element) -> Box | None:
    """The box around an ``<object>`` without ``<bndbox>``; None if it has no outline either.

    roLabelImg writes ``<robndbox>``, a centre, two sides and radians; others a ``<polygon>`` of points.

    Args:
        element: its tags are in lower case.
    """
    try:
        turned, polygon = element.find("robndbox"), element.find("polygon")
        if turned is not None:
            words = (turned.findtext(tag) or "" for tag in ("cx", "cy", "w", "h", "angle"))
            x, y, width, height, angle = map(float, words)
            upright = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            box = box_around_turned(upright, math.degrees(angle))
        elif polygon is not None:
            xs = [float(point.text or "") for point in polygon.iter() if _X.fullmatch(point.tag)]
            ys = [float(point.text or "") for point in polygon.iter() if _Y.fullmatch(point.tag)]
            box = min(xs), min(ys), max(xs), max(ys)
        else:
            return None
    except ValueError:
        return None
    return box if all(map(math.isfinite, box)) else None


def _degrees(written: object) -> float:
    if isinstance(written, bool) or not isinstance(written, (int, float, str)):
        return 0.0
    try:
        degrees = float(written)
    except ValueError:
        return 0.0
    return degrees if math.isfinite(degrees) else 0.0
