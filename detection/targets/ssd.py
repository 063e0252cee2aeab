"""What each of SSD's anchors should predict.

Shapes: ``B`` images, ``M`` ground truths per image (padded), ``A`` anchors.
"""

import torch
from torch import Tensor

from detection.ops import processor
from detection.ops.boxes import pairwise_iou
from detection.ops.coding import encode_boxes
from detection.ops.matching import match_anchors
from detection.types import AnchorTargets

# Pairs of anchor and ground truth handled at once: bounds the memory of crowded batches.
_MAX_PAIRS = 2**25


@torch.no_grad()
def assign_ssd_targets(
    anchors: Tensor,
    boxes: Tensor,
    labels: Tensor,
    iou_threshold: float = 0.5,
    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2),
) -> AnchorTargets:
    """Match anchors with ground truth and encode the boxes (Liu et al. 2016, section 2.2).

    The result for an image does not depend on the rest of its batch, so a loader's worker that calls
    this with ``B = 1`` gets the values the training process would get for the batch.

    Args:
        anchors: ``(A, 4)`` xyxy.
        boxes: ``(B, M, 4)`` xyxy. ``M`` may be 0.
        labels: int64 ``(B, M)``, ``0..C-1``, -1 where padded.
        iou_threshold: an anchor is positive if it is the bipartite match of a ground truth, or if its
            best IoU is at least this.
        stds: divisors of the deltas ``(dx, dy, dw, dh)``.

    Returns:
        Labels ``(B, A)``, 0 for background and ``k + 1`` for class ``k``, and deltas ``(B, A, 4)``.
    """
    chunks = [
        _assign(anchors, chunk_boxes, chunk_labels, iou_threshold, stds)
        for chunk_boxes, chunk_labels in _chunks(anchors, boxes, labels)
    ]
    if len(chunks) == 1:
        return chunks[0]
    labels, deltas = map(torch.cat, zip(*chunks, strict=True))
    return AnchorTargets(labels, deltas)


def _chunks(anchors: Tensor, boxes: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What is handled at once."""
    if processor.on_cpu(boxes):  # image by image, without the padding
        real = labels >= 0
        return [(boxes[i : i + 1, real[i]], labels[i : i + 1, real[i]]) for i in range(len(boxes))]
    images_at_once = max(1, _MAX_PAIRS // max(1, boxes.shape[1] * anchors.shape[0]))
    return list(zip(boxes.split(images_at_once), labels.split(images_at_once), strict=True))


def _assign(
    anchors: Tensor,
    boxes: Tensor,
    labels: Tensor,
    iou_threshold: float,
    stds: tuple[float, float, float, float],
) -> AnchorTargets:
    if boxes.shape[1] == 0:  # nothing to gather from
        background = labels.new_zeros(boxes.shape[0], anchors.shape[0])
        return AnchorTargets(background, anchors.new_zeros(*background.shape, 4, dtype=torch.float32))
    real = boxes.masked_fill((labels < 0).unsqueeze(-1), 0)  # a box without area overlaps nothing
    matches = match_anchors(pairwise_iou(real, anchors), iou_threshold)
    background = matches < 0
    gt = matches.clamp(min=0)  # any index will do where the result is masked
    gt_labels = (labels.gather(1, gt) + 1).masked_fill_(background, 0)
    gt_boxes = boxes.gather(1, gt.unsqueeze(-1).expand(-1, -1, 4))
    gt_deltas = encode_boxes(gt_boxes, anchors, stds).masked_fill_(background.unsqueeze(-1), 0)
    return AnchorTargets(gt_labels, gt_deltas)
