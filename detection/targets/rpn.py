"""What the anchors of a region proposal network should predict.

Shapes: ``B`` images, ``N`` ground truths of one image, ``A`` anchors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from detection.ops.boxes import pairwise_iou
from detection.ops.coding import encode_boxes
from detection.ops.proposals import RPN_STDS
from detection.ops.sampling import generators, sample_labels
from detection.types import AnchorTargets

_TINY = torch.finfo(torch.float32).tiny


@torch.no_grad()
def assign_rpn_targets(
    anchors: Tensor,
    boxes: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    num_samples: int = 256,
    positive_fraction: float = 0.5,
    positive_iou: float = 0.7,
    negative_iou: float = 0.3,
    ignore_cross_boundary: bool = True,
    seeds: Sequence[int] | None = None,
) -> AnchorTargets:
    """Label anchors as object or background and sample some of each (Ren et al. 2015, section 3.1).

    Positive are the anchors that overlap some ground truth enough, and for each ground truth the
    anchor, or all tied anchors, with the highest IoU above zero, however low it is. Of the rest those
    that overlap all ground truths little are negative. A positive anchor regresses to the ground truth
    it overlaps most. An image without objects has negatives only; one that is too small to hold any
    anchor has neither.

    Args:
        anchors: ``(A, 4)`` xyxy, common to all images.
        boxes: ``(N_i, 4)`` xyxy for each image. ``N_i`` may be 0.
        image_sizes: ``(height, width)`` of each image without padding.
        num_samples: anchors per image that take part in the loss.
        positive_fraction: upper limit on the share of positives.
        positive_iou: positive from this IoU on.
        negative_iou: negative below this IoU.
        ignore_cross_boundary: leave out the anchors that cross the border of their image (section 3.3),
            those in its padding included. Feature Pyramid Networks keep them (Lin et al. 2017, section 4.1).
        seeds: of each image's sample; None to draw from torch's default generator.

    Returns:
        Labels ``(B, A)``, 1 and 0 for the sampled positives and negatives and -1 for all others, and
        deltas ``(B, A, 4)``.

    Raises:
        ValueError: If the thresholds are not ``0 < negative_iou <= positive_iou <= 1``.
    """
    if not 0 < negative_iou <= positive_iou <= 1:
        raise ValueError(
            f"negative_iou must be above 0 and at most positive_iou, which is at most 1; "
            f"got {negative_iou} and {positive_iou}."
        )
    gt_labels = torch.full((len(boxes), len(anchors)), -1, dtype=torch.int64, device=anchors.device)
    gt_deltas = torch.zeros(*gt_labels.shape, 4, device=anchors.device)
    all_anchors = torch.arange(len(anchors), device=anchors.device)
    draws = generators(seeds, len(boxes), 0, anchors.device)
    for i, (image_boxes, size, draw) in enumerate(zip(boxes, image_sizes, draws, strict=True)):
        index, usable = all_anchors, anchors
        if ignore_cross_boundary:
            index = _inside(anchors, size).nonzero().flatten()
            usable = anchors[index]
        labels, gt = _label_anchors(pairwise_iou(image_boxes, usable), positive_iou, negative_iou)
        positives, negatives = sample_labels(labels, num_samples, positive_fraction, draw)
        gt_labels[i, index[positives]] = 1
        gt_labels[i, index[negatives]] = 0
        matched = image_boxes[gt[positives]]
        gt_deltas[i, index[positives]] = encode_boxes(matched, anchors[index[positives]], RPN_STDS)
    return AnchorTargets(gt_labels, gt_deltas)


def _inside(anchors: Tensor, size: tuple[int, int]) -> Tensor:
    """Whether each anchor lies in the image; one that ends exactly at its far border does not."""
    height, width = size
    x1, y1, x2, y2 = anchors.unbind(-1)
    return (x1 >= 0) & (y1 >= 0) & (x2 < width) & (y2 < height)


def _label_anchors(iou: Tensor, positive_iou: float, negative_iou: float) -> tuple[Tensor, Tensor]:
    """Label ``(A,)`` in {-1, 0, 1} and best ground truth ``(A,)`` of each anchor, from ``iou (N, A)``."""
    if iou.numel() == 0:  # no ground truth, or no anchor: a maximum over nothing is undefined
        background = torch.zeros(iou.shape[1], dtype=torch.int64, device=iou.device)
        return background, background
    anchor_iou, gt = iou.max(dim=0)
    # A ground truth that overlaps nothing has its best IoU, zero, with every anchor: none is its own.
    gt_iou = iou.amax(dim=1, keepdim=True).clamp(min=_TINY)
    owned = (iou == gt_iou).view(torch.uint8).amax(dim=0)  # any(), which takes a CPU ten times as long
    positive = (anchor_iou >= positive_iou) | owned.bool()
    labels = (anchor_iou < negative_iou).long() - 1
    labels[positive] = 1  # last: the best anchor of a ground truth may overlap it very little
    return labels, gt
