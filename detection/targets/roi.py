"""What the second stage of a detector should predict for its proposals.

Shapes: ``P`` proposals and ``N`` ground truths of one image, ``R`` sampled proposals of all images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detection.ops.boxes import pairwise_iou
from detection.ops.coding import encode_boxes
from detection.ops.sampling import generators, sample_labels


class RoITargets(NamedTuple):
    """The sampled proposals and what the head should say about them, image after image."""

    proposals: list[Tensor]
    """float32 ``(R_i, 4)`` for each image, positives first."""
    labels: Tensor
    """int64 ``(R,)``: 0 background, ``k + 1`` for class ``k``."""
    deltas: Tensor
    """float32 ``(R, 4)``, zero where the proposal is background."""


@torch.no_grad()
def sample_proposals(
    proposals: Sequence[Tensor],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    num_samples: int = 128,
    positive_fraction: float = 0.25,
    positive_iou: float = 0.5,
    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2),
    seeds: Sequence[int] | None = None,
) -> RoITargets:
    """Match proposals with ground truth and sample some of each kind (Girshick 2015, section 2.3).

    The ground truth joins the proposals, so that the head sees objects which the proposals still miss.
    Everything that is not positive is background, down to no overlap at all. No proposal is drawn
    twice; an image has fewer than ``num_samples`` if there are not enough.

    Args:
        proposals: ``(P_i, 4)`` xyxy for each image. ``P_i`` may be 0.
        boxes: ``(N_i, 4)`` xyxy for each image. ``N_i`` may be 0.
        labels: int64 ``(N_i,)`` for each image, ``0..C-1``.
        num_samples: proposals per image.
        positive_fraction: upper limit on the share of positives.
        positive_iou: a proposal takes its best ground truth if their IoU is at least this.
        stds: divisors of the deltas ``(dx, dy, dw, dh)``.
        seeds: of each image's sample; None to draw from torch's default generator.

    Returns:
        The samples and their targets. The proposals carry no gradient.
    """
    draws = generators(seeds, len(proposals), 1, proposals[0].device)
    samples = [
        _sample_image(*image, num_samples, positive_fraction, positive_iou, stds)
        for image in zip(proposals, boxes, labels, draws, strict=True)
    ]
    sampled, gt_labels, gt_deltas = zip(*samples, strict=True)
    return RoITargets(list(sampled), torch.cat(gt_labels), torch.cat(gt_deltas))


def _sample_image(
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    generator: torch.Generator | None,
    num_samples: int,
    positive_fraction: float,
    positive_iou: float,
    stds: tuple[float, float, float, float],
) -> tuple[Tensor, Tensor, Tensor]:
    """Proposals ``(R_i, 4)``, labels ``(R_i,)`` and deltas ``(R_i, 4)`` of one image."""
    candidates = torch.cat((proposals.float(), boxes.float()))
    candidate_labels, gt = _match(candidates, boxes, labels, positive_iou)
    positives, negatives = sample_labels(candidate_labels, num_samples, positive_fraction, generator)
    drawn = torch.cat((positives, negatives))
    deltas = torch.zeros(len(drawn), 4, device=boxes.device)
    deltas[: len(positives)] = encode_boxes(boxes[gt[positives]], candidates[positives], stds)
    return candidates[drawn], candidate_labels[drawn], deltas


def _match(candidates: Tensor, boxes: Tensor, labels: Tensor, positive_iou: float) -> tuple[Tensor, Tensor]:
    """Label of each candidate, 0 where it is background, and index of its best ground truth."""
    if len(boxes) == 0:  # a maximum over nothing is undefined
        background = torch.zeros(len(candidates), dtype=torch.int64, device=candidates.device)
        return background, background
    best_iou, gt = pairwise_iou(boxes, candidates).max(dim=0)
    return (labels[gt] + 1).where(best_iou >= positive_iou, 0), gt
