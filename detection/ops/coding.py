"""Boxes as offsets from anchors: ``deltas = (dx, dy, dw, dh)``.

The parametrisation of R-CNN (Girshick et al. 2014, appendix C): the shift of the centre in units of
the anchor's side, and the logarithm of the ratio of the sides, each divided by ``stds`` so that the
regression targets have about unit variance.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detection.ops.boxes import corners
from detection.ops.constants import constant

# A predicted side is at most 1000/16 times the anchor's: an untrained network must not overflow exp.
_MAX_LOG_RATIO = math.log(1000 / 16)
# A box clipped to nothing still needs a finite logarithm; no real object is this small (pixels).
_MIN_SIDE = 1e-3


def encode_boxes(boxes: Tensor, anchors: Tensor, stds: Sequence[float]) -> Tensor:
    """Express boxes as deltas from anchors.

    Args:
        boxes: ``(..., 4)`` xyxy.
        anchors: ``(..., 4)`` xyxy, broadcast with ``boxes``.
        stds: four divisors for ``(dx, dy, dw, dh)``.

    Returns:
        float32 deltas ``(..., 4)``, finite even where a side is zero or negative.
    """
    near, far = corners(boxes)
    anchor_near, anchor_far = corners(anchors)
    side, anchor_side = (far - near).clamp(min=_MIN_SIDE), (anchor_far - anchor_near).clamp(min=_MIN_SIDE)
    shift = ((near + far) / 2 - (anchor_near + anchor_far) / 2) / anchor_side
    deltas = torch.cat((shift, (side / anchor_side).log()), dim=-1)
    return deltas / constant(tuple(stds), deltas.device)


def decode_boxes(deltas: Tensor, anchors: Tensor, stds: Sequence[float]) -> Tensor:
    """Apply deltas to anchors; the inverse of `encode_boxes`.

    Args:
        deltas: ``(..., 4)``.
        anchors: ``(..., 4)`` xyxy, broadcast with ``deltas``.
        stds: the four divisors used to encode.

    Returns:
        float32 boxes ``(..., 4)`` xyxy, not clipped to any image. Sides are at most 62.5 times the anchor's.
    """
    anchor_x, anchor_y, anchor_w, anchor_h = _centres_and_sides(anchors)
    dx, dy, dw, dh = deltas.float().unbind(-1)
    x = anchor_x + dx * stds[0] * anchor_w
    y = anchor_y + dy * stds[1] * anchor_h
    half_w = anchor_w * (dw * stds[2]).clamp(max=_MAX_LOG_RATIO).exp() / 2
    half_h = anchor_h * (dh * stds[3]).clamp(max=_MAX_LOG_RATIO).exp() / 2
    return torch.stack((x - half_w, y - half_h, x + half_w, y + half_h), dim=-1)


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
