"""What a region proposal network hands over for 600x800 images, made up: 28,500 anchors, stride 16."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.proposals import RPN_STDS
from detection.ops.rpn_anchors import rpn_anchors, rpn_base_anchors

SIZE = (600, 800)


class Candidates(NamedTuple):
    """Boxes that enter suppression, best first."""

    boxes: Tensor
    """``(N, 4)``."""
    scores: Tensor
    """``(N,)``."""


def anchors() -> Tensor:
    """15 for each of 38 x 50 cells."""
    base = rpn_base_anchors(16, (0.5, 1, 2), (2, 4, 8, 16, 32))
    return rpn_anchors([base], [16], SIZE)


def objects(count: int, seed: int) -> Tensor:
    """Boxes ``(count, 4)`` of all sizes in one image."""
    generator = torch.Generator().manual_seed(seed)
    sides = 40 + torch.rand(count, 2, generator=generator) * 300
    corners = torch.rand(count, 2, generator=generator) * (torch.tensor([800.0, 600.0]) - sides)
    return torch.cat((corners, corners + sides), dim=1)


def random_candidates(count: int, seed: int = 0) -> Candidates:
    """Of a new network: the best boxes are anywhere."""
    generator = torch.Generator().manual_seed(seed)
    all_anchors = anchors()
    deltas = torch.randn(len(all_anchors), 4, generator=generator) * 0.1
    return _best(all_anchors, deltas, torch.randn(len(all_anchors), generator=generator), count)


def trained_candidates(count: int, seed: int = 0, pull: float = 0.6) -> Candidates:
    """Of a trained network: the best boxes crowd about five objects, towards which they were moved."""
    generator = torch.Generator().manual_seed(seed)
    all_anchors, found = anchors(), objects(5, seed)
    iou, nearest = box_iou(found, all_anchors).max(dim=0)
    target = found[nearest]
    moved = torch.where(iou.unsqueeze(1) > 0.1, all_anchors + pull * (target - all_anchors), all_anchors)
    deltas = torch.randn(len(all_anchors), 4, generator=generator) * 0.03
    noise = torch.randn(len(all_anchors), generator=generator) * 0.1
    return _best(moved, deltas, iou + noise, count)


def _best(boxes: Tensor, deltas: Tensor, scores: Tensor, count: int) -> Candidates:
    boxes = clip_boxes(decode_boxes(deltas, boxes, RPN_STDS), SIZE)
    large = (boxes[:, 2:] - boxes[:, :2] >= 16).all(dim=1).nonzero().squeeze(1)
    top = scores[large].topk(count)
    return Candidates(boxes[large[top.indices]], top.values)
