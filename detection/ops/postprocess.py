"""From a dense detector's raw outputs to the detections of each image."""

import math

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.topk import stable_topk
from detection.types import Detections

# How far float32 rounding may move a difference of logits; generous, since the softmax decides.
_LOGIT_MARGIN = 1e-3


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
    images, anchor_indices, labels, scores = _candidates(logits, score_threshold)
    counts = images.bincount(minlength=logits.shape[0]).tolist()
    detections = []
    for image, (image_anchors, image_labels, image_scores) in enumerate(
        zip(*(torch.split(field, counts) for field in (anchor_indices, labels, scores)), strict=True)
    ):
        limit = len(image_scores) if topk_per_class else min(topk, len(image_scores))
        top_scores, order = stable_topk(image_scores, limit)
        if topk_per_class:
            kept = _rank_within_class(image_labels[order]) < topk
            top_scores, order = top_scores[kept], order[kept]
        top_anchors, top_labels = image_anchors[order], image_labels[order]
        # Decoding candidates only: a few hundred of the thousands of anchors.
        boxes = decode_boxes(deltas[image, top_anchors], anchors[top_anchors], stds)
        boxes = clip_boxes(boxes, image_size)
        keep = batched_nms(boxes, top_scores, top_labels, nms_threshold)
        # Candidates are in order already; batched_nms may shuffle those of equal score.
        keep = keep.sort().values[:max_detections]
        detections.append(Detections(boxes=boxes[keep], scores=top_scores[keep], labels=top_labels[keep]))
    return detections


def _rank_within_class(labels: Tensor) -> Tensor:
    """How many of the same label come before each, ``(N,)``."""
    by_class = labels.argsort(stable=True)
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    ranks = torch.empty_like(labels)
    ranks[by_class] = torch.arange(len(labels), device=labels.device) - starts[labels[by_class]]
    return ranks


def _candidates(logits: Tensor, score_threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, anchor, label and score of each pair above the threshold, in that order of nesting."""
    # A foreground score is at most exp(logit - background logit). Where even the best class stays below
    # the threshold by that bound, which is nearly everywhere in a trained network, no softmax is needed.
    margin = logits[..., 1:].amax(dim=-1).float() - logits[..., 0].float()
    floor = math.log(score_threshold) if score_threshold > 0 else -math.inf
    images, anchors = (margin > floor - _LOGIT_MARGIN).nonzero(as_tuple=True)
    scores = logits[images, anchors].float().softmax(dim=-1)[:, 1:]
    rows, labels = (scores > score_threshold).nonzero(as_tuple=True)
    return images[rows], anchors[rows], labels, scores[rows, labels]
