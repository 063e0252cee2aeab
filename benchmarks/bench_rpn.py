"""Rows 8 and 9: proposals from the region proposal network's outputs, and its targets."""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou, nms

from benchmarks import rpn_outputs
from benchmarks.harness import Benchmark, Result, timed
from benchmarks.rpn_outputs import Candidates, random_candidates, trained_candidates
from detection.ops.proposals import nms_best
from detection.targets.rpn import assign_rpn_targets
from detection.types import AnchorTargets

_THRESHOLD = 0.7


def suppression() -> Iterator[Result]:
    """Row 8: as in training and as in a test; and where every survivor is wanted, so that all are judged."""
    for before, after, random, trained in ((12000, 2000, 0.15, 0.95), (6000, 300, 0.15, 0.5)):
        yield _suppressed("random", random_candidates(before), after, random)
        yield _suppressed("trained-like", trained_candidates(before), after, trained)
        yield _suppressed("trained-like, tight", trained_candidates(before, pull=0.9), after, 0.95)
    yield _suppressed("trained-like, tight", trained_candidates(12000, pull=0.9), 12000, 0.95)


def _suppressed(name: str, candidates: Candidates, after: int, at_most: float) -> Result:
    boxes, scores = candidates
    ours, theirs = partial(nms_best, boxes, _THRESHOLD, after), partial(nms, boxes, scores, _THRESHOLD)
    survivors = theirs()
    assert torch.equal(ours(), survivors[:after])
    work = f"RPN NMS {len(boxes)} -> {after}, {name} ({len(survivors)} survive)"
    return timed("8", work, ours, theirs, at_most, rounds=9)


def assignment() -> Iterator[Result]:
    """Row 9."""
    anchors = rpn_outputs.anchors()
    boxes = [rpn_outputs.objects(3, seed=1), rpn_outputs.objects(8, seed=2)]
    ours = partial(assign_rpn_targets, anchors, boxes, [rpn_outputs.SIZE] * 2, ignore_cross_boundary=False)
    _check_same_labels(anchors, boxes)
    yield timed(
        "9",
        f"RPN targets, {len(anchors):,} anchors, batch 2",
        ours,
        partial(torchvision_targets, anchors, boxes),
        at_most=0.5,
        rounds=41,
    )


@torch.no_grad()
def torchvision_targets(anchors: Tensor, boxes: list[Tensor]) -> AnchorTargets:
    """Torchvision's steps: match, encode, sample."""
    labels, matched = torchvision_labels(anchors, boxes)
    deltas = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode(matched, [anchors] * len(boxes))
    positive, negative = BalancedPositiveNegativeSampler(256, 0.5)(labels)
    sampled = [
        torch.where(p.bool(), 1, torch.where(n.bool(), 0, -1))
        for p, n in zip(positive, negative, strict=True)
    ]
    return AnchorTargets(torch.stack(sampled), torch.stack(deltas))


def torchvision_labels(anchors: Tensor, boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Labels 1, 0 and -1 before sampling, and the matched boxes, of each image."""
    matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
    network = SimpleNamespace(box_similarity=box_iou, proposal_matcher=matcher)
    targets = [{"boxes": image_boxes} for image_boxes in boxes]
    labels, matched = RegionProposalNetwork.assign_targets_to_anchors(network, [anchors] * 2, targets)
    return labels, matched


def _check_same_labels(anchors: Tensor, boxes: list[Tensor]) -> None:
    everything = assign_rpn_targets(
        anchors,
        boxes,
        [rpn_outputs.SIZE] * 2,
        num_samples=2 * len(anchors),
        positive_fraction=0.5,
        ignore_cross_boundary=False,
    )
    for ours, theirs in zip(everything.labels, torchvision_labels(anchors, boxes)[0], strict=True):
        assert torch.equal(ours, theirs.long())


ROWS: dict[str, Benchmark] = {"8": suppression, "9": assignment}
