"""What is worth knowing about one image and its objects, besides what training is refused for."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.formats.findings import Finding
from detection.data.formats.judging import deep
from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.data.image_files import ImageError, decode_image, read_header, refuse_another_size
from detection.data.image_header import UPRIGHT, Header

_LOOK = 10  # pixels; a side


class ImageFacts(NamedTuple):
    """What matters about an image file."""

    header: Header
    digest: str
    """Equal for images with equal pixels."""
    look: NDArray[np.uint8]
    """``(10, 10, 3)``: the image made very small, which its likes have in common."""


class InspectedImage(NamedTuple):
    """An image of a split after inspection."""

    split: str
    read: ImageRecord
    """As it was read."""
    record: ImageRecord
    """Its objects are those to learn from: of the classes, under their names, without repeats."""
    facts: ImageFacts | None
    """None if it cannot be decoded."""


def read_facts(record: ImageRecord) -> ImageFacts | ImageError:
    """Decodes an image as a loader does; what would stop the loader is returned."""
    try:
        header = read_header(record.path)
        pixels = decode_image(record.path, record.upright)
        refuse_another_size(record.path, pixels.shape[:2], record.size, record.source)
    except ImageError as error:
        return error
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(pixels.data)
    look = cv2.resize(pixels, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA)
    return ImageFacts(header, digest.hexdigest(), np.asarray(look, dtype=np.uint8))


def inspect_image(
    split: str, record: ImageRecord, facts: ImageFacts | ImageError, min_side: float
) -> tuple[InspectedImage, list[Finding]]:
    """Checks one image and its objects.

    Args:
        split: ``train``, ``val`` or ``test``.
        record: what the annotation says.
        facts: of the decoded file, or why it cannot be decoded.
        min_side: boxes narrower or lower than this many pixels of the file are reported.
    """
    if isinstance(facts, ImageError):
        findings = [Finding(facts.kind, record.file, facts.reason, record.image_id)]
    else:
        findings = [*_check_pixels(record, facts.header)]
    kept: list[ObjectRecord] = []
    for item in record.objects:
        twin = next((other for other in kept if other.box == item.box), None)
        if twin is not None:
            message = f"{record.name_of(item.number)} {_repeats(item, twin, record)}"
            findings.append(
                Finding("duplicate-box", record.source, message, record.image_id, item.number, item.box)
            )
        else:
            findings += _check_side(record, item, min_side)
        if twin is None or twin.name != item.name:
            kept.append(item)
    decoded = None if isinstance(facts, ImageError) else facts
    return InspectedImage(split, record, record._replace(objects=tuple(kept)), decoded), findings


def _check_pixels(record: ImageRecord, header: Header) -> Iterator[Finding]:
    if header.orientation not in (0, UPRIGHT):
        meant = "image as it is shown" if record.upright else "pixels as stored"
        message = (
            f"has EXIF orientation {header.orientation}: viewers turn it, and boxes are read as those of the "
            f"{meant}. Look at the boxes; best turn the pixels and remove the tag"
        )
        yield Finding("exif-orientation", record.file, message, record.image_id)
    if header.deep and record.noun == "annotation":  # readers of the other formats have seen the file
        yield deep(record)
    if header.mode != "RGB" and not header.deep:
        kinds = {
            "L": "grey", "CMYK": "CMYK", "P": "a palette image", "RGBA": "transparent",
            "1": "black and white",
        }  # fmt: skip
        message = (
            f"is {kinds.get(header.mode, header.mode)} (Pillow's mode {header.mode}): it is converted to "
            "8-bit RGB when read; convert it once if its colours matter"
        )
        yield Finding("not-rgb", record.file, message, record.image_id)


def _check_side(record: ImageRecord, item: ObjectRecord, min_side: float) -> Iterator[Finding]:
    x1, y1, x2, y2 = item.box
    if min(x2 - x1, y2 - y1) < min_side:
        message = (
            f"{record.name_of(item.number)} ({item.name}) has {x2 - x1:g}x{y2 - y1:g} pixels, below "
            f"min_side={min_side:g}: correct it if that is a slip, or mark it difficult"
        )
        yield Finding("small-box", record.source, message, record.image_id, item.number)


def _repeats(item: ObjectRecord, twin: ObjectRecord, record: ImageRecord) -> str:
    if item.name == twin.name:
        return f"({item.name}) repeats {record.noun} {twin.number}: remove one"
    return (
        f"({item.name}) has exactly the box of {record.noun} {twin.number} ({twin.name}): remove the one "
        "with the wrong class"
    )
