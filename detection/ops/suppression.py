"""Non-maximum suppression when only the best survivors are wanted."""

import torch
from torch import Tensor
from torchvision.ops import nms

from detection.ops import processor
from detection.ops.boxes import pairwise_iou

# Boxes judged at once on a CPU: few enough that their overlaps with those kept stay in its cache.
_BLOCK = 256


def nms_best(boxes: Tensor, iou_threshold: float, count: int) -> Tensor:
    """The first survivors of torchvision's ``nms`` for boxes that are in order already, best first.

    Whether a box survives depends on better ones only. So on a CPU boxes are judged block by block until
    there are enough survivors, where ``nms`` judges all. A GPU judges all at once.

    Args:
        boxes: float32 ``(N, 4)``, best first.
        iou_threshold: a box is dropped if its IoU with a better one that was kept is above this.
        count: how many survivors are wanted.

    Returns:
        Their indices, int64 ``(K,)``, ascending; ``K`` is less than ``count`` if there are no more.
    """
    if not processor.on_cpu(boxes):
        survivors: Tensor = nms(boxes, _descending(boxes), iou_threshold)
        return survivors[:count]
    kept = torch.zeros(0, dtype=torch.int64)
    for start in range(0, len(boxes), _BLOCK):
        block = boxes[start : start + _BLOCK]
        overlaps = pairwise_iou(boxes[kept], block) > iou_threshold
        free = (~overlaps.any(dim=0)).nonzero().squeeze(1)
        survivors = nms(block[free], _descending(free), iou_threshold)
        kept = torch.cat((kept, start + free[survivors]))
        if len(kept) >= count:
            break
    return kept[:count]


def _descending(boxes: Tensor) -> Tensor:
    """Scores that keep the order of the boxes."""
    return torch.arange(len(boxes), 0, -1, dtype=torch.float32, device=boxes.device)
