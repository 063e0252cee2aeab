"""Which ground truth does each anchor answer for?

Shapes: ``B`` images, ``G`` ground truths per image (padded), ``A`` anchors. A match is the index of a
ground truth, or -1. A ground truth that overlaps nothing, as padding does, matches nothing.

Which pairs are best is computed on the device for the whole batch. Who gets what where several ground
truths want the same anchor is a sequential question about a few numbers, which the host answers: a GPU
waits for it twice at most, however many images there are.
"""

import heapq

import torch
from torch import Tensor

from detection.ops.topk import stable_topk

# Less overlap than this is rounding error, not overlap.
_MIN_IOU = 1e-12


def match_bipartite(iou: Tensor) -> Tensor:
    """Give each ground truth one anchor of its own, the best pairs first.

    Globally greedy: of all pairs left, the one with the highest IoU is matched and both sides leave.
    Among equal IoUs the lower ground truth index goes first, then the lower anchor index. Two ground
    truths that share a best anchor therefore both get one, which "each takes its best" does not give.

    Args:
        iou: ``(B, G, A)``, in ``[0, 1]``; none of them 0.

    Returns:
        int64 ``(3, P)``: image, ground truth and anchor of each pair.
    """
    best_iou, best_anchor = iou.max(dim=2)  # the first of equal maxima, as torch documents
    taken = [
        {gt: anchor for gt, anchor in enumerate(anchors) if anchor >= 0}
        for anchors in best_anchor.masked_fill(best_iou <= _MIN_IOU, -1).tolist()
    ]
    contested = [image for image, pairs in enumerate(taken) if len(set(pairs.values())) < len(pairs)]
    if contested:
        # The others can take at most G - 1 of a ground truth's anchors: its G best are candidates enough.
        scores, anchors = stable_topk(iou[contested], min(iou.shape[1:]))
        for image, candidates in zip(
            contested, torch.stack((scores, anchors.float()), 1).tolist(), strict=True
        ):
            taken[image] = _greedy(*candidates)
    pairs = [(image, gt, anchor) for image, found in enumerate(taken) for gt, anchor in found.items()]
    # Nothing waits for this copy but what uses it.
    return torch.tensor(pairs, dtype=torch.int64).to(iou.device, non_blocking=True).view(-1, 3).T


def _greedy(scores: list[list[float]], anchors: list[list[float]]) -> dict[int, int]:
    """The anchor of each ground truth of one image.

    Args:
        scores: ``(G, K)`` IoUs of the best anchors of each ground truth, descending.
        anchors: ``(G, K)`` which anchors these are.
    """
    taken: dict[int, int] = {}
    owned: set[float] = set()
    # One entry per ground truth without an anchor: the best pair it has not been refused.
    queue = [(-candidates[0], gt, 0) for gt, candidates in enumerate(scores)]
    heapq.heapify(queue)
    while queue:
        negated, gt, rank = heapq.heappop(queue)
        if -negated <= _MIN_IOU:
            break
        if anchors[gt][rank] not in owned:
            owned.add(anchors[gt][rank])
            taken[gt] = int(anchors[gt][rank])
        elif rank + 1 < len(scores[gt]):
            heapq.heappush(queue, (-scores[gt][rank + 1], gt, rank + 1))
    return taken


def match_anchors(iou: Tensor, iou_threshold: float = 0.5) -> Tensor:
    """Match as SSD does (Liu et al. 2016, section 2.2): bipartite, then every anchor that overlaps enough.

    Args:
        iou: ``(B, G, A)``, in ``[0, 1]``. ``G`` may be 0.
        iou_threshold: an anchor without a bipartite match takes its best ground truth (of equals, the
            lowest index) if their IoU is at least this.

    Returns:
        int64 ``(B, A)``.

    Raises:
        ValueError: If ``iou_threshold`` is not in ``(0, 1]``; at 0 every anchor would be matched.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    if iou.numel() == 0:  # a maximum over nothing is undefined
        return torch.full((iou.shape[0], iou.shape[2]), -1, dtype=torch.int64, device=iou.device)
    best_iou, best_gt = iou.max(dim=1)
    matches = best_gt.masked_fill(best_iou < iou_threshold, -1)
    images, gts, anchors = match_bipartite(iou)
    matches[images, anchors] = gts
    return matches
