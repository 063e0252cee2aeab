"""The box around one of COCO's segmentations: polygons, or a mask in run lengths."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from detection.data.formats.records import Box


def box_around(segmentation: Any) -> Box | None:
    """Returns the box around a segmentation; None if it is none.

    Args:
        segmentation: polygons, each a list of x and y in turns; or ``size``, height and width, and
            ``counts``, lengths of runs outside and inside of the mask in turns, down each column.
    """
    try:
        if isinstance(segmentation, dict):
            counts, (height, width) = segmentation["counts"], segmentation["size"]
            runs = _uncompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
            return _box_around_runs(runs, int(height)) if sum(runs) <= height * width else None
        xs = [float(x) for polygon in segmentation for x in polygon[::2]]
        ys = [float(y) for polygon in segmentation for y in polygon[1::2]]
        return (min(xs), min(ys), max(xs), max(ys)) if len(xs) >= 3 else None
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def _box_around_runs(runs: Sequence[int], height: int) -> Box | None:
    inside = [pair for number, pair in enumerate(pairwise(accumulate(runs, initial=0))) if number % 2]
    inside = [(start, end) for start, end in inside if end > start]
    if not inside:
        return None
    columns = [place // height for start, end in inside for place in (start, end - 1)]
    rows = [
        row
        for start, end in inside
        # A run that goes on in the next column touches the bottom and the top.
        for row in (
            (start % height, (end - 1) % height)
            if start // height == (end - 1) // height
            else (0, height - 1)
        )
    ]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def _uncompressed(text: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character; from the fourth on less the last but one."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs
