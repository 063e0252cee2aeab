"""What is wrong with a box, given the size of its image, and with all boxes of a set together."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.data.formats.findings import Finding
from detection.data.formats.records import Box, ImageRecord, ObjectRecord, Reading
from detection.system.wording import wrong_file_name

Size = tuple[int, int]
"""``(height, width)``."""

TOLERANCE = 1.0  # pixels; sets that count from 0 where VOC counts from 1, and roundings, are no mistakes


class _Judgement(NamedTuple):
    """A box that is not simply right."""

    box: Box | None
    """What can be used of it."""
    kind: str
    """That of the finding; empty where there is nothing to say."""
    message: str
    """What is wrong with it, and the remedy."""


def cut_at_borders(box: Box, size: Size) -> Box | None:
    """Returns the part of a box inside an image of ``(height, width)``; None if there is none."""
    height, width = size
    x1, y1, x2, y2 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def keep_inside(
    reading: Reading,
    record: ImageRecord,
    write: Callable[[Box], str],
    declared: Size | None = None,
) -> None:
    """Adds an image to a reading, its boxes cut at its borders, and says what is wrong with them.

    Sets that count pixels from 0 reach -1 and are pulled back to 0; boxes drawn past the border are cut. But
    where annotation and image disagree on the size, a box that sticks out by more than a pixel was drawn on
    another image.

    Args:
        reading: takes the image, without the objects that cannot be used, and the findings.
        record: the image, with boxes in pixels as they were read.
        write: puts a box in the file's own words, for messages.
        declared: the ``(height, width)`` that the annotation says.
    """
    reading.num_judged += 1
    name = os.path.basename(record.file)
    if wrong := wrong_file_name(name):
        message = f"is of the image {name}, which {wrong}"
        reading.add("bad-file-name", record.source, message, record.image_id)
    if declared is not None and declared != record.size:
        message = (
            f"says that {record.path} has {by(declared)} pixels, but it has {by(record.size)}: if the boxes "
            "fit the image correct the size, else bring the image that was annotated"
        )
        reading.add("size-mismatch", record.source, message, record.image_id)
    if _are_right(record.objects, record.size):
        reading.records.append(record)
        return
    kept: list[ObjectRecord] = []
    for item in record.objects:
        if _are_right((item,), record.size):
            kept.append(item)
            continue
        who = f"{record.name_of(item.number)} ({item.name}) with box {write(item.box)}"
        box, kind, message = _judge(item.box, record.size, who, declared)
        if kind:
            reading.add(kind, record.source, message, record.image_id, item.number, item.box)
        if box is not None:
            kept.append(item._replace(box=box))
    reading.records.append(record._replace(objects=tuple(kept)))


def judged(reading: Reading) -> Reading:
    """A split whose boxes all lie inside their images, whoever read it: see `keep_inside`.

    Readers of this package judge each image, in the words of their format. What those of a user's own did not
    judge is judged here; objects without numbers are counted from 1 in each image.
    """
    if reading.num_judged == len(reading.records):
        return reading
    whole = replace(reading, records=[], findings=[*reading.findings], num_judged=0)
    for record in reading.records:
        objects = (
            item if item.number else item._replace(number=place)
            for place, item in enumerate(record.objects, 1)
        )
        keep_inside(whole, record._replace(objects=tuple(objects)), _in_pixels)
    return whole


def _in_pixels(box: Box) -> str:
    return f"({', '.join(f'{float(side):g}' for side in box)})"


def deep(record: ImageRecord) -> Finding:
    """Says that an image has more than 8 bits per channel."""
    message = (
        "is 16 bits deep: it is scaled to 8 by the bits that it holds (10, 12, 14 or 16), each image by "
        "itself; convert all images to 8 bits alike if their brightness matters"
    )
    return Finding("deep-image", record.file, message, record.image_id)


def _are_right(objects: Iterable[ObjectRecord], size: Size) -> bool:
    """Whether all boxes lie inside their image and have an area."""
    height, width = size
    for item in objects:
        x1, y1, x2, y2 = item.box
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            return False
    return True


def _judge(box: Box, size: Size, written: str, declared: Size | None = None) -> _Judgement:
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        return _Judgement(
            None,
            "bad-coordinate",
            f"{written} is not four finite numbers: correct the box or remove it",
        )
    if not (x2 > x1 and y2 > y1):
        return _Judgement(
            None,
            "empty-box",
            f"{written} is an empty or inverted box: swap or correct its sides, or remove it",
        )
    inside = cut_at_borders(box, size)
    past = max(-x1, -y1, x2 - size[1], y2 - size[0])
    if past > TOLERANCE and declared not in (None, size):
        return _Judgement(
            None,
            "box-of-another-size",
            f"{written} does not fit its image of {by(size)} pixels, while the annotation is for one of "
            f"{by(declared)}: was the image resized or rotated (EXIF) after it was annotated? Scale or turn "
            "its boxes likewise",
        )
    if inside is None:
        return _Judgement(
            None,
            "box-outside",
            f"{written} lies outside its image of {by(size)} pixels: correct the box or remove it",
        )
    if past <= TOLERANCE:
        return _Judgement(inside, "", "")
    return _Judgement(
        inside,
        "box-past-border",
        f"{written} reaches {past:g} pixels past its image of {by(size)}: it is cut there; correct the box",
    )


def by(size: Size | None) -> str:
    """A size, for people: ``640x480``, width first."""
    return "unknown size" if size is None else f"{size[1]}x{size[0]}"


_FEW = 3  # boxes in which a rule can be seen, and how many are named
_MANY = 0.3  # of all boxes; some are drawn past the border in every set


def find_another_rule(
    reading: Reading,
    boxes: NDArray[np.float64],
    numbers: NDArray[np.float64],
    sizes: NDArray[np.float64],
    name: Callable[[int], str],
    rule: str,
) -> None:
    """Adds a finding where the boxes of a split are in fractions, or corners, though the rule is another.

    Args:
        reading: the split.
        boxes: ``(N, 4)``, ``xyxy`` in pixels: what the format's rule makes of the numbers.
        numbers: ``(N, 4)``, those that stand for each box, in pixels.
        sizes: ``(N, 2)``, height and width of the image of each.
        name: what messages call one of the N.
        rule: what the four numbers should be, such as ``x, y, width, height``.
    """
    total, (height, width) = len(boxes), sizes.T
    x1, y1, x2, y2 = numbers.T
    least, most = numbers.min(axis=1), numbers.max(axis=1)
    fractions = np.flatnonzero((least >= 0) & (most > 0) & (most <= 1) & (sizes.min(axis=1) > 1))
    outside = np.maximum(-boxes[:, :2], boxes[:, 2:] - sizes[:, ::-1]).max(axis=1)
    past = np.flatnonzero(outside > TOLERANCE)
    corners = (x1 < x2) & (x2 <= width + TOLERANCE) & (y1 < y2) & (y2 <= height + TOLERANCE)
    if len(fractions) >= _FEW and len(fractions) > total / 2:
        reading.add(
            "bad-coordinate",
            reading.file,
            f"has {len(fractions)} of {total} boxes in fractions of the images' sides "
            f"({_first(fractions, name)}): multiply them by width and height, for boxes are in pixels",
        )
    elif len(past) >= _FEW and len(past) > _MANY * total and corners.all():
        reading.add(
            "bad-coordinate",
            reading.file,
            f"has {len(past)} of {total} boxes that reach past their images ({_first(past, name)}), while "
            f"all fit if read as x1, y1, x2, y2: write {rule}",
        )


def _first(rows: NDArray[np.intp], name: Callable[[int], str]) -> str:
    return ", ".join(name(int(row)) for row in rows[:_FEW]) + (", ..." if len(rows) > _FEW else "")
