"""What every annotation format is read into: images with their objects, and errors that name the remedy."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

Box = tuple[float, float, float, float]
"""``xyxy`` in pixels, 0-based."""

MAX_REPORTED = 10
_EXIF_ORIENTATION = 0x0112
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)


class AnnotationError(ValueError):
    """An annotation that cannot be trained on; the message names the file, the object and the remedy."""


class ObjectRecord(NamedTuple):
    """One annotated object."""

    name: str
    box: Box
    difficult: bool
    """Ignored by the metric: VOC's ``difficult``, COCO's ``iscrowd``."""


class ImageRecord(NamedTuple):
    """One annotated image."""

    image_id: str
    """Names the image in its set: two images never share it."""
    path: Path
    size: tuple[int, int]
    """``(height, width)`` of the image that the boxes belong to."""
    objects: tuple[ObjectRecord, ...]
    """May be empty."""
    source: str
    """Where its annotation is written, for messages."""


def cut_at_borders(box: Box, size: tuple[int, int]) -> Box | None:
    """Returns the part of a box inside an image of ``(height, width)``; None if there is none."""
    height, width = size
    x1, y1, x2, y2 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def read_size(path: Path, upright: bool = False) -> tuple[int, int]:
    """Reads the ``(height, width)`` of an image from its header.

    Args:
        path: the image.
        upright: of the image as it is shown, turned as its EXIF orientation asks, instead of as it is stored.

    Raises:
        AnnotationError: the file is not an image.
    """
    try:
        with Image.open(path) as image:
            size = (image.height, image.width)
    except UnidentifiedImageError as error:
        raise AnnotationError(f"{path} is not an image that can be read: replace it or unlist it") from error
    return size[::-1] if upright and read_orientation(path) in _TURNED_BY_A_QUARTER else size


def read_orientation(path: Path) -> int:
    """Reads the EXIF orientation of an image: 1 where the pixels are stored upright."""
    with Image.open(path) as image:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def report(problems: Sequence[str], where: str) -> str:
    """Joins what is wrong in one set into one message; only the first ten are written out.

    Args:
        problems: a sentence for each mistake.
        where: the set, such as ``the images of VOC2007/train``.
    """
    shown = "\n  ".join(problems[:MAX_REPORTED])
    more = f"\n  ... and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
    return f"{len(problems)} of {where} cannot be used:\n  {shown}{more}"
