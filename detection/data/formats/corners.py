"""VOC's corners and the project's boxes: the only place where one becomes the other.

VOC counts pixels from 1 and names the first and the last pixel of an object: ``xmin=1, xmax=3`` is three
pixels wide. Boxes have continuous edges everywhere else: the same object reaches from 0 to 3.
"""

from collections.abc import Sequence

from detection.data.formats.records import Box

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def from_voc_corners(corners: Sequence[float]) -> Box:
    """Returns the box ``x1, y1, x2, y2`` of VOC's ``xmin, ymin, xmax, ymax``."""
    xmin, ymin, xmax, ymax = corners
    return xmin - 1, ymin - 1, xmax, ymax


def to_voc_corners(box: Sequence[float]) -> Box:
    """Returns VOC's ``xmin, ymin, xmax, ymax`` of a box; not rounded, so no digit is lost."""
    x1, y1, x2, y2 = box
    return x1 + 1, y1 + 1, x2, y2


def whole_voc_corners(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rounds a box to whole pixels and returns VOC's corners, from 1 to the image's width and height.

    A box that rounding would empty keeps one pixel.

    Args:
        box: ``xyxy`` in pixels.
        size: ``(height, width)`` of the image.
    """
    xmin, xmax = _ends(box[0], box[2], size[1])
    ymin, ymax = _ends(box[1], box[3], size[0])
    return xmin, ymin, xmax, ymax


def are_fractions(corners: Sequence[float]) -> bool:
    """Whether what stands for VOC's corners is in fractions of the image's sides, as YOLO writes boxes.

    The smallest object in pixels, the first of all, has the corners 1, 1, 1, 1.
    """
    return 0 <= min(corners) < 1 and 0 < max(corners) <= 1


def _ends(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(round(low) + 1, 1), length)
    return first, max(min(round(high), length), first)
