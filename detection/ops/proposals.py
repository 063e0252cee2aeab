"""From the region proposal network's raw outputs to the proposals of each image.

Shapes: ``B`` images, ``A`` anchors over all feature levels, ``K`` candidates per image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detection.ops import processor
from detection.ops.boxes import clip_boxes, pairwise_iou
from detection.ops.coding import decode_boxes

RPN_STDS = (1.0, 1.0, 1.0, 1.0)
"""The region proposal network's deltas are not scaled (Ren et al. 2015, equation 2)."""

# Boxes judged at once on a CPU: few enough that their overlaps with those kept stay in its cache. Of a
# trained network the best are so alike that few survive, and `nms` alone takes more of them in less time.
_FIRST_BLOCK, _BLOCK = 1024, 256


@torch.no_grad()
def propose(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    pre_nms_top: int,
    post_nms_top: int,
    nms_threshold: float = 0.7,
    min_size: float = 16.0,
    level_sizes: Sequence[int] | None = None,
    score_threshold: float = 0.0,
) -> list[Tensor]:
    """Take the best anchors, move them to the objects and suppress duplicates (Ren et al. 2015, section 3.3).

    With several feature levels, candidates are taken from each and suppressed within each, as in
    Feature Pyramid Networks (Lin et al. 2017, section 4.1).

    Args:
        logits: objectness ``(B, A)``.
        deltas: ``(B, A, 4)``.
        anchors: ``(A, 4)``, level after level.
        image_sizes: ``(height, width)`` of each image without padding; its proposals are clipped to it.
        pre_nms_top: candidates per level, the highest logits.
        post_nms_top: proposals per image over all levels.
        nms_threshold: a proposal is dropped if its IoU with a better one of its level is above this.
        min_size: a proposal is dropped if, once clipped, a side is shorter than this, in pixels.
        level_sizes: anchors of each level, ``A`` in all; by default there is one level.
        score_threshold: a proposal is dropped if its score is below this.

    Returns:
        ``(P_i, 4)`` float32 for each image, best first, possibly empty.
    """
    level_sizes = level_sizes or [anchors.shape[0]]
    candidates, levels = _top_of_levels(logits, level_sizes, pre_nms_top)
    scores = logits.gather(1, candidates).float().sigmoid()
    deltas = deltas.gather(1, candidates.unsqueeze(-1).expand(-1, -1, 4))
    decoded = decode_boxes(deltas, anchors[candidates], RPN_STDS)

    proposals = []
    for image_boxes, image_scores, size in zip(decoded, scores, image_sizes, strict=True):
        boxes = clip_boxes(image_boxes, size)
        large = (boxes[:, 2:] - boxes[:, :2] >= min_size).all(dim=-1) & (image_scores >= score_threshold)
        boxes = boxes[large]
        if len(level_sizes) == 1:  # the candidates are in order
            keep = nms_best(boxes, nms_threshold, post_nms_top)
        else:
            keep = batched_nms(boxes, image_scores[large], levels[large], nms_threshold)[:post_nms_top]
        proposals.append(boxes[keep])
    return proposals


def _top_of_levels(logits: Tensor, level_sizes: Sequence[int], top: int) -> tuple[Tensor, Tensor]:
    """Anchor indices ``(B, K)`` of the highest logits of each level, and the level ``(K,)`` of each."""
    candidates, levels, first = [], [], 0
    for level, level_logits in enumerate(logits.split(list(level_sizes), dim=1)):
        indices = level_logits.topk(min(top, level_logits.shape[1]), dim=1).indices
        candidates.append(indices + first)
        levels.append(torch.full_like(indices[0], level))
        first += level_logits.shape[1]
    return torch.cat(candidates, dim=1), torch.cat(levels)


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
    first = boxes[:_FIRST_BLOCK]
    kept: Tensor = nms(first, _descending(first), iou_threshold)
    for start in range(_FIRST_BLOCK, len(boxes), _BLOCK):
        if len(kept) >= count:
            break
        block = boxes[start : start + _BLOCK]
        overlaps = pairwise_iou(boxes[kept], block) > iou_threshold
        free = (~overlaps.any(dim=0)).nonzero().squeeze(1)
        survivors = nms(block[free], _descending(free), iou_threshold)
        kept = torch.cat((kept, start + free[survivors]))
    return kept[:count]


def _descending(boxes: Tensor) -> Tensor:
    """Scores that keep the order of the boxes."""
    return torch.arange(len(boxes), 0, -1, dtype=torch.float32, device=boxes.device)
