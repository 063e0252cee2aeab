"""From a dense detector's raw outputs to the detections of each image.

Shapes: ``B`` images, ``A`` anchors, ``C`` foreground classes; ``R`` anchors that may detect something and
``N`` candidates, pairs of an anchor and a class, of all images together, image after image. So the number of
operations does not grow with ``B``.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from detection.ops import processor
from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.topk import sortable_bits
from detection.types import Detections

# How far float32 rounding may move a difference of logits; generous, since the softmax decides.
_LOGIT_MARGIN = 1e-3


class _Scores(NamedTuple):
    """The anchors that may detect something."""

    images: Tensor
    """``(R,)``, ascending."""
    anchors: Tensor
    """``(R,)``, ascending within an image."""
    values: Tensor
    """``(R, C)``."""


class _Candidates(NamedTuple):
    """Fields of ``(N,)``, ordered by image, and within an image by descending score."""

    images: Tensor
    anchors: Tensor
    labels: Tensor
    scores: Tensor


def select_detections(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    image_size: tuple[int, int],
    stds: tuple[float, float, float, float],
    score_threshold: float = 0.01,
    nms_threshold: float = 0.45,
    topk: int = 400,
    max_detections: int = 100,
    topk_per_class: bool = False,
) -> list[Detections]:
    """Score, decode, suppress and sort (Liu et al. 2016, section 3.1).

    Every pair of an anchor and a foreground class whose score exceeds the threshold is a candidate. The
    ``topk`` best candidates of an image, over ALL classes or of each, go through non-maximum suppression
    within each class, and the best ``max_detections`` survivors are returned. Equal scores keep the order
    of anchors, then of classes.

    Args:
        logits: ``(B, A, C + 1)``, background first.
        deltas: ``(B, A, 4)``.
        anchors: ``(A, 4)``.
        image_size: ``(height, width)`` of the network's input; boxes are clipped to it.
        stds: the divisors the deltas were encoded with.
        score_threshold: a score must be above this.
        nms_threshold: a box is dropped if its IoU with a better one of its class is above this.
        topk: candidates per image.
        max_detections: detections per image.
        topk_per_class: whether ``topk`` counts the candidates of each class by themselves.

    Returns:
        One `Detections` per image, possibly empty.
    """
    num_images, num_classes = logits.shape[0], logits.shape[2] - 1
    scores = _scores(logits, score_threshold)
    # The detections are among the first few hundred candidates, unless suppression leaves too few of those.
    num_first = 4 * max_detections if topk_per_class else topk
    while True:
        limits = _limits(scores, num_images, num_first, score_threshold)
        candidates = _candidates(scores, limits, score_threshold)
        by_class = candidates.images * num_classes + candidates.labels
        groups = by_class if topk_per_class else candidates.images
        top = (_rank_within(groups) < topk).nonzero().squeeze(1)
        images, anchor_indices, labels, top_scores = (field.index_select(0, top) for field in candidates)
        # Decoding candidates only: a few hundred of the thousands of anchors.
        boxes = decode_boxes(deltas[images, anchor_indices], anchors[anchor_indices], stds)
        boxes = clip_boxes(boxes, image_size)
        keep = _suppress(boxes, by_class.index_select(0, top), images, image_size, nms_threshold)
        keep = keep[_rank_within(images[keep]) < max_detections]
        counts = images[keep].bincount(minlength=num_images).tolist()
        fields = (x.index_select(0, keep).split(counts) for x in (boxes, top_scores, labels))
        short = torch.tensor(counts) < max_detections
        if not topk_per_class or limits is None or not (short & (limits.cpu() > score_threshold)).any():
            return [Detections(boxes=b, scores=s, labels=c) for b, s, c in zip(*fields, strict=True)]
        num_first *= 4


def _scores(logits: Tensor, score_threshold: float) -> _Scores:
    # A foreground score is at most exp(logit - background logit). Where even the best class stays below
    # the threshold by that bound, which is nearly everywhere in a trained network, no softmax is needed.
    margin = _best_class(logits[..., 1:]).float() - logits[..., 0].float()
    floor = math.log(score_threshold) if score_threshold > 0 else -math.inf
    rows = (margin.flatten() > floor - _LOGIT_MARGIN).nonzero().squeeze(1)
    values = logits.flatten(0, 1).index_select(0, rows).float().softmax(dim=-1)[:, 1:]
    num_anchors = logits.shape[1]
    return _Scores(rows // num_anchors, rows % num_anchors, values)


def _best_class(values: Tensor) -> Tensor:
    """The same as ``amax(dim=-1)``, which takes a CPU half as long again or more over so few values."""
    while (num_classes := values.shape[-1]) > 1:
        half = (num_classes + 1) // 2  # the middle one of an odd number is in both halves
        values = torch.maximum(values[..., :half], values[..., num_classes - half :])
    return values.squeeze(-1)


def _limits(scores: _Scores, num_images: int, num_first: int, score_threshold: float) -> Tensor | None:
    """A score ``(B,)`` that at least ``num_first`` candidates of each image reach; None if all are needed."""
    if len(scores.images) <= num_first or int(scores.images.bincount().max()) <= num_first:
        return None
    # That many anchors reach it with their best class alone, so all better candidates do, too.
    best = scores.values.new_full((num_images, int(scores.anchors.max()) + 1), score_threshold)
    best[scores.images, scores.anchors] = _best_class(scores.values)
    return best.topk(num_first, dim=1).values[:, -1]


def _candidates(scores: _Scores, limits: Tensor | None, score_threshold: float) -> _Candidates:
    """Each pair of an anchor and a class that exceeds the threshold and reaches the limit of its image."""
    passing = scores.values > score_threshold
    if limits is not None:
        passing &= scores.values >= limits[scores.images].unsqueeze(1)
    rows, labels = passing.nonzero(as_tuple=True)
    images, anchors = scores.images.index_select(0, rows), scores.anchors.index_select(0, rows)
    values = scores.values[rows, labels]
    key = images.bitwise_left_shift(32) - sortable_bits(values)
    order = key.argsort(stable=True)
    return _Candidates(*(field.index_select(0, order) for field in (images, anchors, labels, values)))


def _rank_within(groups: Tensor) -> Tensor:
    """How many of the same group come before each, ``(N,)``."""
    by_group, order = groups.sort(stable=True)
    ranks = torch.arange(len(groups), device=groups.device) - torch.searchsorted(by_group, by_group)
    return torch.empty_like(ranks).scatter_(0, order, ranks)


def _suppress(
    boxes: Tensor, groups: Tensor, images: Tensor, size: tuple[int, int], threshold: float
) -> Tensor:
    """Indices of the boxes that do not overlap a kept earlier one of their group too much, ascending."""
    # Groups are moved apart by more than an image, so that boxes of different ones do not overlap. In double
    # precision, since in single an overlap far from the origin would be rounded to what it is not.
    apart = boxes.double() + groups.unsqueeze(1) * (max(size) + 1.0)
    order = torch.arange(len(boxes), 0, -1, dtype=torch.float64, device=boxes.device)
    if not processor.on_cpu(boxes):
        kept: Tensor = nms(apart, order, threshold)
        return kept
    # Image by image, since on a CPU the work grows with the square of the number of boxes.
    counts = images.bincount(minlength=1).tolist()
    starts = accumulate(counts[:-1], initial=0)
    pieces = zip(apart.split(counts), order.split(counts), starts, strict=True)
    return torch.cat([nms(*piece, threshold) + start for *piece, start in pieces])
