"""RPN's anchors: a few base anchors, repeated at every cell of a feature map.

Two published conventions differ in how base anchors are rounded and centred. Trained weights are tied
to theirs, so both are here: `rpn_base_anchors` (Faster R-CNN in Caffe, one map) and `fpn_base_anchors`
(torchvision, one size per map of a pyramid).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def rpn_base_anchors(base_size: int, ratios: Sequence[float], scales: Sequence[float]) -> Tensor:
    """The anchors of the cell at the origin, as in the original Caffe implementation.

    They surround the centre of the pixels ``0..base_size - 1``, so at stride 16 the centre is 7.5. The
    far corners are those of the last pixel inside: a side is one less than ``width * scale``. Sides are
    rounded before they are scaled.

    Args:
        base_size: side in pixels of the square at scale 1.
        ratios: height / width of the shapes.
        scales: by which each shape is enlarged.

    Returns:
        ``(K, 4)`` float32 xyxy, ``K = len(ratios) * len(scales)``: all scales of the first ratio first.
    """
    centre = (base_size - 1) / 2
    anchors = []
    for ratio in ratios:
        width = round(math.sqrt(base_size**2 / ratio))
        height = round(width * ratio)
        for scale in scales:
            half_width, half_height = (width * scale - 1) / 2, (height * scale - 1) / 2
            anchors.append(
                (centre - half_width, centre - half_height, centre + half_width, centre + half_height)
            )
    return torch.tensor(anchors)


def fpn_base_anchors(size: float, ratios: Sequence[float]) -> Tensor:
    """The anchors of the cell at the origin of one map of a pyramid, as in torchvision.

    They surround the cell's top left corner, ``(0, 0)``, and their corners are rounded to whole pixels.

    Args:
        size: square root of their area, in pixels.
        ratios: height / width of the shapes.

    Returns:
        ``(len(ratios), 4)`` float32 xyxy.
    """
    heights = torch.tensor(ratios, dtype=torch.float32).sqrt()
    half_widths, half_heights = size / heights / 2, size * heights / 2
    return torch.stack((-half_widths, -half_heights, half_widths, half_heights), dim=-1).round()


def shift_anchors(
    base_anchors: Tensor, feature_size: tuple[int, int], stride: int | tuple[int, int]
) -> Tensor:
    """Repeats the base anchors at every cell of a feature map.

    Args:
        base_anchors: ``(K, 4)`` xyxy, of the cell at the origin.
        feature_size: ``(height, width)`` in cells.
        stride: pixels from one cell to the next, one number or (down, right).

    Returns:
        float32 ``(height * width * K, 4)`` on the device of the base anchors, ordered by row, column,
        base anchor. They are not clipped to the image.
    """
    height, width = feature_size
    down, right = (stride, stride) if isinstance(stride, int) else stride
    x = torch.arange(width, device=base_anchors.device, dtype=torch.float32) * right
    y = torch.arange(height, device=base_anchors.device, dtype=torch.float32) * down
    rows, cols = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack((cols, rows, cols, rows), dim=-1).reshape(-1, 1, 4)
    return (shifts + base_anchors).reshape(-1, 4)


def fitted_stride(feature_size: tuple[int, int], padded_size: tuple[int, int]) -> tuple[int, int]:
    """The distance between torchvision's anchors: the input's sides over the map's cells, rounded down.

    It differs from the map's stride where the last cell is only a started one, as it is in the coarsest map
    of a pyramid for every second multiple of 32 pixels. Weights trained with such anchors want them back.

    Args:
        feature_size: ``(height, width)`` of the map in cells.
        padded_size: ``(height, width)`` of the input in pixels.

    Returns:
        Pixels from one cell to the next, down and to the right.
    """
    return padded_size[0] // feature_size[0], padded_size[1] // feature_size[1]


def rpn_anchors(
    base_anchors: Sequence[Tensor],
    strides: Sequence[int],
    padded_size: tuple[int, int],
    fit_strides: bool = False,
) -> Tensor:
    """The anchors over an input, without the network that would make its feature maps.

    Args:
        base_anchors: for each feature map the ``(K, 4)`` anchors of its first cell.
        strides: pixels per cell of each feature map; a started cell counts.
        padded_size: ``(height, width)`` of the input.
        fit_strides: whether anchors are ``fitted_stride`` apart and not the map's stride.

    Returns:
        float32 ``(A, 4)``, map after map.
    """
    height, width = padded_size
    levels = []
    for base, stride in zip(base_anchors, strides, strict=True):
        cells = (math.ceil(height / stride), math.ceil(width / stride))
        levels.append(
            shift_anchors(base, cells, fitted_stride(cells, padded_size) if fit_strides else stride)
        )
    return torch.cat(levels)
