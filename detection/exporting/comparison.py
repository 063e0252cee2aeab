"""How much two lists of detections of one image differ, and two of proposals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from detection.models.rpn import RPNOutput
from detection.ops.boxes import clip_boxes, pairwise_iou
from detection.ops.coding import decode_boxes
from detection.ops.proposals import RPN_STDS
from detection.types import Detections

BOX_TOLERANCE = 0.1
"""Pixels of the network's input."""
SCORE_TOLERANCE = 1e-3
# How near to a threshold a decision may be taken either way: rounding moves an overlap by less.
_IOU_MARGIN = 1e-3


@dataclass(frozen=True)
class Thresholds:
    """Where a detector decides."""

    score: float
    nms: float
    max_detections: int


@dataclass(frozen=True)
class Difference:
    """Of one image."""

    count: int
    """Detections of ours."""
    file_count: int
    """Detections of the exported file."""
    box: float
    """Largest difference of a coordinate over the pairs, in pixels."""
    score: float
    """Largest difference of a score over the pairs."""
    borderline: int
    """Detections of one list alone, by a decision that rounding may turn."""
    unexplained: int
    """Detections of one list alone, without such a reason."""

    @property
    def tolerable(self) -> bool:
        """Whether the two lists are the same detections, but for borderline cases."""
        return self.unexplained == 0 and self.box <= BOX_TOLERANCE and self.score <= SCORE_TOLERANCE


def compare(ours: Detections, theirs: Detections, thresholds: Thresholds) -> Difference:
    """Pair the detections of two lists by class and place, and measure what differs.

    Pairs need not have the same rank, since nearly equal scores may change places. A detection without a
    partner is tolerated if its score is next to the threshold, or to the last of a full list, or if its
    overlap with another box of its class is next to the threshold of suppression, or if such a box took its
    place.

    Args:
        ours: what the network finds.
        theirs: what the exported file finds.
        thresholds: those of the detector.
    """
    pairs = _pairs(ours, theirs)
    box = float((ours["boxes"][pairs[0]] - theirs["boxes"][pairs[1]]).abs().max()) if len(pairs[0]) else 0.0
    score = (
        float((ours["scores"][pairs[0]] - theirs["scores"][pairs[1]]).abs().max()) if len(pairs[0]) else 0.0
    )
    alone = _without_partner(ours, pairs[0]), _without_partner(theirs, pairs[1])
    explained = _borderline(alone[0], alone[1], ours, theirs, thresholds)
    explained += _borderline(alone[1], alone[0], ours, theirs, thresholds)
    total = len(alone[0]["scores"]) + len(alone[1]["scores"])
    return Difference(
        len(ours["scores"]), len(theirs["scores"]), box, score, explained, unexplained=total - explained
    )


def _pairs(ours: Detections, theirs: Detections) -> tuple[list[int], list[int]]:
    """Rows of both lists that are the same detection, each row at most once."""
    if not len(ours["scores"]) or not len(theirs["scores"]):
        return [], []
    apart = (ours["boxes"].unsqueeze(1) - theirs["boxes"].unsqueeze(0)).abs().amax(dim=-1)
    score_apart = (ours["scores"].unsqueeze(1) - theirs["scores"].unsqueeze(0)).abs()
    alike = (apart <= BOX_TOLERANCE) & (score_apart <= SCORE_TOLERANCE)
    # Anything else that lies on the same object is a pair too, so that its difference is seen.
    alike |= pairwise_iou(ours["boxes"], theirs["boxes"]) > 0.9
    alike &= ours["labels"].unsqueeze(1) == theirs["labels"].unsqueeze(0)
    cost = torch.where(alike, apart + score_apart, torch.inf)
    rows, columns = [], []
    for _ in range(min(cost.shape)):
        best = int(cost.argmin())
        row, column = divmod(best, cost.shape[1])
        if not cost[row, column].isfinite():
            break
        rows.append(row)
        columns.append(column)
        cost[row], cost[:, column] = torch.inf, torch.inf
    return rows, columns


def _without_partner(found: Detections, rows: list[int]) -> Detections:
    alone = torch.ones(len(found["scores"]), dtype=torch.bool)
    alone[rows] = False
    return Detections(
        boxes=found["boxes"][alone], scores=found["scores"][alone], labels=found["labels"][alone]
    )


def _borderline(
    alone: Detections, other_alone: Detections, ours: Detections, theirs: Detections, thresholds: Thresholds
) -> int:
    """How many of those in one list alone may be there or not by rounding."""
    if not len(alone["scores"]):
        return 0
    near = (alone["scores"] - thresholds.score).abs() <= SCORE_TOLERANCE
    for found in (ours, theirs):
        if len(found["scores"]) == thresholds.max_detections:
            near |= (alone["scores"] - found["scores"].min()).abs() <= SCORE_TOLERANCE
        overlaps = _overlaps(alone, found)
        near |= ((overlaps - thresholds.nms).abs() <= _IOU_MARGIN).any(dim=1)
    near |= (_overlaps(alone, other_alone) > thresholds.nms).any(dim=1)
    return int(near.sum())


def _overlaps(some: Detections, others: Detections) -> Tensor:
    """IoU where the classes agree, else 0."""
    same = some["labels"].unsqueeze(1) == others["labels"].unsqueeze(0)
    return pairwise_iou(some["boxes"], others["boxes"]) * same


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
