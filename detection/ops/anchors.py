"""Anchors: the boxes that a network's predictions are relative to."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detection.ops.constants import constant

Step = float | Sequence[float]
"""Pixels from one cell to the next: one number, or (down, right)."""


def ssd_anchors(
    feature_sizes: Sequence[tuple[int, int]],
    steps: Sequence[Step],
    sizes: Sequence[float],
    ratios: Sequence[Sequence[float]],
    device: torch.device | str | None = None,
    max_side: float = math.inf,
    reduced_finest: bool = False,
) -> Tensor:
    """Lays SSD's anchors over the cells of every feature map (SSD paper, section 2.2).

    The anchors follow the sizes of the maps, so images of any height and width work. They are not
    clipped: those near the border stick out of the image.

    Args:
        feature_sizes: ``(height, width)`` in cells of each of the ``L`` maps, finest first.
        steps: pixels per cell of each map; cell ``(row, col)`` is centred at ``(index + 0.5) * step``.
            Either one number or (down, right) for each map.
        sizes: ``L + 1`` side lengths in pixels. Map ``i`` has squares of side ``sizes[i]`` and of side
            ``sqrt(sizes[i] * sizes[i + 1])``.
        ratios: for each map, width / height of its shapes. The first must be 1 and stands for the two
            squares; every further ``r`` adds one box of ``(s * sqrt(r), s / sqrt(r))``.
        device: where the anchors are made.
        max_side: longer sides are cut to this, in pixels.
        reduced_finest: the first map has a single square instead, of half of ``sizes[0]``, as in TensorFlow's
            detectors (``reduce_boxes_in_lowest_layer``).

    Returns:
        ``(A, 4)`` float32 xyxy in pixels, ordered by map, row, column, shape.

    Raises:
        ValueError: if the lists do not describe the same number of maps.
    """
    num_maps = len(feature_sizes)
    if not len(steps) == len(ratios) == len(sizes) - 1 == num_maps:
        raise ValueError(
            f"{num_maps} feature maps need {num_maps} steps, {num_maps} lists of ratios and {num_maps + 1} "
            f"sizes; got {len(steps)}, {len(ratios)} and {len(sizes)}."
        )
    per_map = []
    for i, (height, width) in enumerate(feature_sizes):
        cell = _cell_shapes(sizes[i], sizes[i + 1], ratios[i])
        if reduced_finest and i == 0:
            cell = ((sizes[0] / 2, sizes[0] / 2), *cell[2:])
        shapes = constant(cell, device)  # (K, 2)
        shapes = shapes.clamp(max=max_side)
        down, right = _down_and_right(steps[i])
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * right
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * down
        rows, cols = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack((cols, rows), dim=-1).reshape(-1, 1, 2)  # (H * W, 1, 2)
        per_map.append(torch.cat((centres - shapes / 2, centres + shapes / 2), dim=-1).reshape(-1, 4))
    return torch.cat(per_map)


def fitted_steps(feature_sizes: Sequence[tuple[int, int]], image_size: tuple[int, int]) -> tuple[Step, ...]:
    """The steps that spread the cells of every map evenly over the input: its sides divided by the cells.

    Args:
        feature_sizes: ``(height, width)`` in cells of each map.
        image_size: ``(height, width)`` of the input in pixels.

    Returns:
        For each map one number where both directions agree, else (down, right).
    """
    steps = [(image_size[0] / height, image_size[1] / width) for height, width in feature_sizes]
    return tuple(down if down == right else (down, right) for down, right in steps)


def in_order_of_anchors(predictions: Tensor, channels: int) -> Tensor:
    """Lay out what a convolution predicts at the cells of a map as its anchors are laid out.

    Args:
        predictions: ``(B, K * channels, H, W)`` for ``K`` anchors per cell.
        channels: numbers per anchor.

    Returns:
        ``(B, H * W * K, channels)``.
    """
    return predictions.permute(0, 2, 3, 1).reshape(predictions.shape[0], -1, channels)


def _down_and_right(step: Step) -> tuple[float, float]:
    if isinstance(step, Sequence):
        down, right = step
        return down, right
    return step, step


def _cell_shapes(size: float, next_size: float, ratios: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """``(width, height)`` of the anchors of one cell, in the order of the predictor's channels."""
    between = math.sqrt(size * next_size)
    rectangles = ((size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios[1:])
    return ((float(size), float(size)), (between, between), *rectangles)
