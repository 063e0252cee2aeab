"""Parts of an image that a detector looks at one by one: tiles, the whole image, and their mirror images.

A window is ``(left, top, right, bottom)`` in whole pixels of the image, the last of them not included.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from detection.types import Detections

Window = tuple[int, int, int, int]


class View(NamedTuple):
    """What a detector is shown of an image."""

    window: Window
    mirrored: bool = False
    """Whether left and right are exchanged."""


def tile_windows(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> list[Window]:
    """Cover an image with tiles of one size, spread evenly.

    Args:
        size: ``(height, width)`` of the image.
        tile: ``(height, width)`` of a tile; a side longer than the image's is cut to it.
        overlap: share of a tile's side that it has in common with the next at least, from 0 to below 1.

    Returns:
        Windows, row by row; one, the whole image, where a tile covers it.
    """
    rows, columns = (
        _spread(length, min(side, length), overlap) for length, side in zip(size, tile, strict=True)
    )
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def tile_of_grid(size: tuple[int, int], grid: Sequence[int], overlap: float) -> tuple[int, int]:
    """The ``(height, width)`` of the tiles that cover an image in so many rows and columns.

    Args:
        size: ``(height, width)`` of the image.
        grid: ``(rows, columns)``.
        overlap: see ``tile_windows``.
    """
    height, width = (
        min(length, ceil(length / (count - (count - 1) * overlap)))
        for length, count in zip(size, grid, strict=True)
    )
    return height, width


def tile_size(
    size: tuple[int, int],
    tiles: str | int | Sequence[int],
    input_size: tuple[int, int],
    overlap: float,
) -> tuple[int, int]:
    """The ``(height, width)`` of the tiles of an image, as ``tiles=`` asks for them.

    Args:
        size: ``(height, width)`` of the image.
        tiles: ``auto``, the side, or rows and columns; see ``detection.bounds.Tiles``.
        input_size: ``(height, width)`` of the network's input, that of ``auto`` tiles.
        overlap: see ``tile_windows``.
    """
    if isinstance(tiles, str):
        return input_size
    if isinstance(tiles, int):
        return tiles, tiles
    return tile_of_grid(size, tiles, overlap)


def views_of(size: tuple[int, int], tiles: Sequence[Window], flip: bool) -> list[View]:
    """All that is looked at: the whole image, the tiles, and with ``flip`` the mirror image of each.

    Args:
        size: ``(height, width)`` of the image.
        tiles: windows; one that is the whole image is looked at once.
        flip: whether to add mirror images.
    """
    whole = (0, 0, size[1], size[0])
    windows = [whole, *(window for window in tiles if window != whole)]
    return [
        View(window, mirrored) for window in windows for mirrored in ((False, True) if flip else (False,))
    ]


def in_image(boxes: Tensor, view: View) -> Tensor:
    """Map boxes from the pixels of a view to those of the image.

    Args:
        boxes: ``(N, 4)``.
        view: what they were found in.

    Returns:
        float32 ``(N, 4)``.
    """
    left, top, right, _ = view.window
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    if view.mirrored:  # edges are continuous: what begins at 0 ends at the width
        x1, x2 = (right - left) - x2, (right - left) - x1
    return torch.stack((x1 + left, y1 + top, x2 + left, y2 + top), dim=-1)


def join_views(found: Sequence[tuple[View, Detections]]) -> tuple[Detections, Tensor]:
    """Put the detections of all views of an image side by side, in its pixels.

    Args:
        found: views, in any order, and what was found in each, in its own pixels.

    Returns:
        The detections, by descending score, and the index of the view of each in ``sorted``, int64 ``(M,)``.
        Neither depends on the order of ``found``: equal scores are in the order of their views.
    """
    in_order = sorted(found, key=lambda pair: pair[0])
    boxes = torch.cat([in_image(item["boxes"], view) for view, item in in_order])
    scores = torch.cat([item["scores"] for _, item in in_order])
    labels = torch.cat([item["labels"] for _, item in in_order])
    counts = torch.tensor([len(item["scores"]) for _, item in in_order])
    views = torch.arange(len(in_order)).repeat_interleave(counts)
    order = scores.argsort(descending=True, stable=True)
    return Detections(boxes=boxes[order], scores=scores[order], labels=labels[order]), views[order]


def _spread(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Intervals of one side of the image."""
    step = max(1.0, side * (1 - overlap))
    count = 1 + max(0, ceil((length - side) / step - 1e-9))  # in a grid the last one fits up to rounding
    starts = [round(number * (length - side) / max(1, count - 1)) for number in range(count)]
    return [(start, start + side) for start in starts]
