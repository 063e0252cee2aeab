"""What every annotation format is read into: images with their objects, and errors that name the remedy."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from detection.file_reading import MAX_IMAGE, UnfitFileError, open_file

Box = tuple[float, float, float, float]
"""``xyxy`` in pixels, continuous edges: an object in the first three columns reaches from 0 to 3."""

MAX_REPORTED = 10
# Pillow's own limit, which prediction raises: there an image is decoded once.
_MAX_PIXELS = 178_956_970
_EXIF_ORIENTATION = 0x0112
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)


OnError = Literal["raise", "skip"]
"""What becomes of an image that cannot be used: it stops the run, or it is left out and listed."""


class AnnotationError(ValueError):
    """An annotation that cannot be trained on; the message names the file, the object and the remedy."""


class ImageError(ValueError):
    """An image whose pixels cannot be used; the message names the file and the remedy."""


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
        AnnotationError: the file is not an image, or larger than a loader can be trusted to decode.
        OSError: the file cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with open_file(path, MAX_IMAGE) as file, Image.open(file) as image:
                size = (image.height, image.width)
                if image.height * image.width > _MAX_PIXELS:
                    raise Image.DecompressionBombError
                turned = upright and _orientation(image) in _TURNED_BY_A_QUARTER
    except Image.DecompressionBombError as error:
        raise AnnotationError(
            f"{path} has more than {_MAX_PIXELS // 10**6} million pixels, too many to be decoded again and "
            "again: cut it into tiles, shrink it or unlist it"
        ) from error
    except UnfitFileError as error:
        raise AnnotationError(f"{error}: replace it or unlist it") from error
    except Exception as error:  # decoders fail in many ways on damaged files
        if isinstance(error, OSError) and error.errno is not None:
            # It is missing or closed to us. Some decoders name the target of a link, not what is listed.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise AnnotationError(f"{path} is not an image that can be read: replace it or unlist it") from error
    return size[::-1] if turned else size


def read_orientation(path: Path) -> int:
    """Reads the EXIF orientation of an image: 1 where the pixels are stored upright."""
    with open_file(path, MAX_IMAGE) as file, Image.open(file) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def settle(problems: Sequence[str], where: str, count: int, skipped: list[str] | None) -> None:
    """Refuses a set in which images cannot be used, or leaves these out.

    Args:
        problems: a sentence for each image that cannot be used.
        where: the set, such as ``the images of VOC2007/train``.
        count: the number of images in the set.
        skipped: where to append the problems of a set that is used without these images; None refuses it.

    Raises:
        ValueError: the set is refused, or no image of it is left.
    """
    if skipped is None and problems:
        raise ValueError(
            f"{report(problems, where)}\ndata.on_error=skip leaves such images out and lists them in the end"
        )
    if problems and len(problems) >= count:
        raise ValueError(f"data.on_error=skip leaves no image: {report(problems, where)}")
    if skipped is not None:
        skipped.extend(problems)


def report(problems: Sequence[str], where: str) -> str:
    """Joins what is wrong in one set into one message; only the first ten are written out.

    Args:
        problems: a sentence for each mistake.
        where: the set, such as ``the images of VOC2007/train``.
    """
    shown = "\n  ".join(problems[:MAX_REPORTED])
    more = f"\n  ... and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
    return f"{len(problems)} of {where} cannot be used:\n  {shown}{more}"
