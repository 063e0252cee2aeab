"""How many proposals two runs of a first stage have in common."""

import torch
from torch import Tensor

from detection.exporting.comparison import BOX_TOLERANCE, SCORE_TOLERANCE
from detection.models.rpn import RPNOutput
from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.proposals import RPN_STDS


def share_in_common(ours: Tensor, theirs: Tensor, rpn: RPNOutput, size: tuple[int, int]) -> float:
    """The share of one image's proposals that both lists have, or that stand for equally good ones.

    On a plain background all cells score the same, and rounding alone decides which of them come first.

    Args:
        ours: ``(P, 4)``.
        theirs: ``(Q, 4)``.
        rpn: what the network said about the image, as a batch of one.
        size: ``(height, width)`` of the image without padding.

    Returns:
        The lesser of the shares of the two lists.
    """
    if not len(ours) or not len(theirs):
        return float(len(ours) == len(theirs))
    close = torch.cdist(ours, theirs, p=torch.inf) <= BOX_TOLERANCE
    our_rest, their_rest = ours[~close.any(dim=1)], theirs[~close.any(dim=0)]
    candidates = clip_boxes(decode_boxes(rpn.deltas[0], rpn.anchors, RPN_STDS), size)
    scores = rpn.logits[0].float().sigmoid()
    our_scores, their_scores = (_scores(rest, candidates, scores) for rest in (our_rest, their_rest))
    equal = (our_scores.unsqueeze(1) - their_scores.unsqueeze(0)).abs() <= SCORE_TOLERANCE
    our_missing = len(our_rest) - int(equal.any(dim=1).sum())
    their_missing = len(their_rest) - int(equal.any(dim=0).sum())
    return 1 - max(our_missing / len(ours), their_missing / len(theirs))


def _scores(proposals: Tensor, candidates: Tensor, scores: Tensor) -> Tensor:
    """The best score of a candidate at each place, NaN where there is none."""
    found = [
        torch.where((candidates - proposal).abs().amax(dim=1) <= BOX_TOLERANCE, scores, -1.0).max()
        for proposal in proposals
    ]
    best = torch.stack(found) if found else scores.new_zeros(0)
    return torch.where(best >= 0, best, torch.nan)
