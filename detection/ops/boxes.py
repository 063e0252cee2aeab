"""Boxes: clipping, scaling and intersection over union.

Boxes are ``xyxy`` in absolute pixels with continuous edges; a size is ``(height, width)``. All arithmetic
is float32 whatever the input, because half precision has steps of a quarter of a pixel at coordinate 500.
"""

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip boxes to an image.

    Args:
        boxes: ``(..., 4)``.
        size: ``(height, width)`` of the image in pixels.

    Returns:
        float32 ``(..., 4)`` with x in ``[0, width]`` and y in ``[0, height]``. A box that lies
        outside the image comes back with zero area, on its border.
    """
    height, width = size
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return torch.stack(
        (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1
    )


def scale_boxes(boxes: Tensor, from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """Map boxes from an image to a resized copy of it.

    Args:
        boxes: ``(..., 4)`` in the pixels of an image of ``from_size``.
        from_size: ``(height, width)``.
        to_size: ``(height, width)``.

    Returns:
        float32 ``(..., 4)`` in the pixels of an image of ``to_size``.
    """
    scale_y, scale_x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return torch.stack((x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y), dim=-1)


def pairwise_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every box of one set with every box of another.

    Args:
        boxes1: ``(..., N, 4)``.
        boxes2: ``(..., M, 4)``; leading dimensions broadcast with those of ``boxes1``.

    Returns:
        float32 ``(..., N, M)`` in ``[0, 1]``. A box of zero or negative side has IoU 0 with everything.
    """
    near, far = corners(boxes1.unsqueeze(-2))
    near2, far2 = corners(boxes2.unsqueeze(-3))
    # In place, because memory asked for anew costs a CPU as much as the arithmetic.
    sides = torch.minimum(far, far2).sub_(torch.maximum(near, near2)).clamp_(min=0)
    intersection = sides[..., 0].mul_(sides[..., 1])
    area, area2 = _area(near, far), _area(near2, far2)
    # Two boxes without area have an empty union: the floor turns 0 / 0 into 0.
    union = (area + area2).sub_(intersection).clamp_(min=_TINY)
    iou: Tensor = intersection.div_(union)
    return iou


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Split boxes into their near and far corners.

    Both coordinates are then computed in one operation; in memory all x come before all y, since a CPU
    vectorises over neighbours, not over every fourth number.

    Args:
        boxes: ``(..., 4)`` xyxy.

    Returns:
        float32 ``(..., 2)`` each, x before y.
    """
    planes = boxes.float().movedim(-1, 0).contiguous().movedim(0, -1)
    return planes[..., :2], planes[..., 2:]


def _area(near: Tensor, far: Tensor) -> Tensor:
    sides = (far - near).clamp_(min=0)
    return sides[..., 0] * sides[..., 1]
