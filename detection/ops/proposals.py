"""From the region proposal network's raw outputs to the proposals of each image.

Shapes: ``B`` images, ``A`` anchors over all feature levels, ``K`` candidates per image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.suppression import nms_best

RPN_STDS = (1.0, 1.0, 1.0, 1.0)
"""The region proposal network's deltas are not scaled (Ren et al. 2015, equation 2)."""


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
