"""What each of SSD's anchors should predict.

Shapes: ``B`` images, ``M`` ground truths per image (padded), ``A`` anchors.
"""

import torch
from torch import Tensor

from detection.ops.boxes import pairwise_iou
from detection.ops.coding import encode_boxes
from detection.ops.matching import match_anchors
from detection.types import AnchorTargets

# Pairs of anchor and ground truth handled at once. On a CPU the IoU matrix should stay in the cache;
# elsewhere few large operations are better, and the limit only bounds the memory of crowded batches.
_MAX_PAIRS_CPU = 2**18
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
    num_pairs = max(1, boxes.shape[1] * anchors.shape[0])
    images_at_once = max(1, (_MAX_PAIRS_CPU if boxes.device.type == "cpu" else _MAX_PAIRS) // num_pairs)
    chunks = [
        _assign(anchors, chunk_boxes, chunk_labels, iou_threshold, stds)
        for chunk_boxes, chunk_labels in zip(
            torch.split(boxes, images_at_once), torch.split(labels, images_at_once), strict=True
        )
    ]
    return AnchorTargets(
        labels=torch.cat([chunk.labels for chunk in chunks]),
        deltas=torch.cat([chunk.deltas for chunk in chunks]),
    )


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
    matches = match_anchors(pairwise_iou(boxes, anchors), labels >= 0, iou_threshold)
    positive = matches >= 0
    gt = matches.clamp(min=0)  # any index will do where the result is masked
    gt_labels = (labels.gather(1, gt) + 1).where(positive, 0)
    gt_boxes = boxes.gather(1, gt.unsqueeze(-1).expand(-1, -1, 4))
    gt_deltas = encode_boxes(gt_boxes, anchors, stds).where(positive.unsqueeze(-1), 0)
    return AnchorTargets(gt_labels, gt_deltas)
