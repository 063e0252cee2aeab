"""Which ground truth does each anchor answer for?

Shapes: ``B`` images, ``G`` ground truths per image (padded), ``A`` anchors. A match is the index of a
ground truth, or -1.

Nothing here reads a value back to the host, and the number of operations depends on ``G`` only, so a
GPU runs a whole batch asynchronously.
"""

import torch
from torch import Tensor

from detection.ops.topk import stable_topk

# Less overlap than this is rounding error, not overlap.
_MIN_IOU = 1e-12


def match_bipartite(iou: Tensor, valid: Tensor) -> Tensor:
    """Give each ground truth one anchor of its own, the best pairs first.

    Globally greedy: of all pairs left, the one with the highest IoU is matched and both sides leave.
    Among equal IoUs the lower ground truth index goes first, then the lower anchor index. Two ground
    truths that share a best anchor therefore both get one, which "each takes its best" does not give.

    Args:
        iou: ``(B, G, A)``, in ``[0, 1]``.
        valid: bool ``(B, G)``, False where the ground truth is padding.

    Returns:
        int64 ``(B, A)``. At most one anchor per ground truth; a ground truth that is padding or overlaps
        no anchor has none.
    """
    batch_size, num_gt, num_anchors = iou.shape
    # The others can take at most G - 1 of a ground truth's anchors: its G best are candidates enough.
    num_candidates = min(num_gt, num_anchors)
    scores, anchors = stable_topk(iou, num_candidates)
    scores = scores.masked_fill(~valid.unsqueeze(-1) | (scores <= _MIN_IOU), 0).flatten(1)
    anchors = anchors.flatten(1)
    owners = torch.arange(num_gt, device=iou.device).repeat_interleave(num_candidates)

    # One column too many: a round with no pair left writes there.
    matches = torch.full((batch_size, num_anchors + 1), -1, dtype=torch.int64, device=iou.device)
    for _ in range(num_candidates):
        score, pair = scores.max(dim=1, keepdim=True)  # the first of equal maxima, as torch documents
        gt, anchor = pair // num_candidates, anchors.gather(1, pair)
        matches.scatter_(1, anchor.where(score > 0, num_anchors), gt)
        scores = scores.masked_fill((anchors == anchor) | (owners == gt), 0)
    return matches[:, :num_anchors]


def match_anchors(iou: Tensor, valid: Tensor, iou_threshold: float = 0.5) -> Tensor:
    """Match as SSD does (Liu et al. 2016, section 2.2): bipartite, then every anchor that overlaps enough.

    Args:
        iou: ``(B, G, A)``, in ``[0, 1]``. ``G`` may be 0.
        valid: bool ``(B, G)``, False where the ground truth is padding.
        iou_threshold: an anchor without a bipartite match takes its best ground truth (of equals, the
            lowest index) if their IoU is at least this.

    Returns:
        int64 ``(B, A)``.

    Raises:
        ValueError: If ``iou_threshold`` is not in ``(0, 1]``; at 0 every anchor would be matched.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    matches = match_bipartite(iou, valid)
    if iou.shape[1] == 0:
        return matches
    best_iou, best_gt = iou.masked_fill(~valid.unsqueeze(-1), 0).max(dim=1)
    by_threshold = best_gt.where(best_iou >= iou_threshold, -1)
    return matches.where(matches >= 0, by_threshold)
