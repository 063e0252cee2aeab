"""Boxes that are possible one by one, and wrong all together: written by another rule than their format's."""

from collections.abc import Iterable
from typing import NamedTuple

from detection.data.formats.judging import TOLERANCE, Size
from detection.data.formats.records import Box, Reading

_FEW = 3  # boxes in which a rule can be seen, and how many are named
_MANY = 0.3  # of all boxes; some are drawn past the border in every set


class WrittenBox(NamedTuple):
    """A box with the four numbers that stand for it."""

    name: str
    """What messages call it."""
    numbers: Box
    """In pixels."""
    box: Box
    """What the format's rule makes of them."""
    size: Size
    """``(height, width)`` of its image."""


def find_another_rule(reading: Reading, boxes: Iterable[WrittenBox], rule: str) -> None:
    """Adds a finding where the boxes of a split are in fractions, or corners, though the rule is another.

    Args:
        reading: the split.
        boxes: all of it.
        rule: what the four numbers should be, such as ``x, y, width, height``.
    """
    total, fractions, past, corners = 0, [], [], True
    for item in boxes:
        total += 1
        x1, y1, x2, y2 = item.numbers
        height, width = item.size
        if min(item.numbers) >= 0 and 0 < max(item.numbers) <= 1 < min(item.size):
            fractions.append(item.name)
        if max(-item.box[0], -item.box[1], item.box[2] - width, item.box[3] - height) > TOLERANCE:
            past.append(item.name)
        corners = corners and x1 < x2 <= width + TOLERANCE and y1 < y2 <= height + TOLERANCE
    if len(fractions) >= _FEW and len(fractions) > total / 2:
        reading.add(
            "bad-coordinate",
            reading.file,
            f"has {len(fractions)} of {total} boxes in fractions of the images' sides ({_first(fractions)}): "
            "multiply them by width and height, for boxes are in pixels",
        )
    elif corners and len(past) >= _FEW and len(past) > _MANY * total:
        reading.add(
            "bad-coordinate",
            reading.file,
            f"has {len(past)} of {total} boxes that reach past their images ({_first(past)}), while all fit "
            f"if read as x1, y1, x2, y2: write {rule}",
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")
