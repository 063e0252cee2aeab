"""From the outputs of a detector's second stage to the detections of each image.

Shapes: ``R`` proposals over all images, ``C`` foreground classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.types import Detections

# A box clipped to less than this is no detection (pixels).
MIN_SIDE = 1e-2


@torch.no_grad()
def select_roi_detections(
    logits: Tensor,
    deltas: Tensor,
    proposals: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2),
    score_threshold: float = 0.05,
    nms_threshold: float = 0.3,
    max_detections: int = 100,
) -> list[Detections]:
    """Score, decode and clip every class of every proposal; suppress duplicates within each class.

    Args:
        logits: ``(R, C + 1)``, background first, image after image.
        deltas: ``(R, C, 4)``, one box per foreground class.
        proposals: ``(R_i, 4)`` for each image, ``R`` in all. ``R_i`` may be 0.
        image_sizes: ``(height, width)`` of each image without padding.
        stds: the divisors the deltas were encoded with.
        score_threshold: a score must be above this.
        nms_threshold: a box is dropped if its IoU with a better one of its class is above this.
        max_detections: detections per image, the highest scores of all classes.

    Returns:
        One `Detections` per image, possibly empty.
    """
    counts = [len(image_proposals) for image_proposals in proposals]
    scores = logits.float().softmax(dim=-1)[:, 1:]
    detections = []
    for image_scores, image_deltas, image_proposals, size in zip(
        scores.split(counts), deltas.split(counts), proposals, image_sizes, strict=True
    ):
        rows, labels = (image_scores > score_threshold).nonzero(as_tuple=True)
        boxes = decode_boxes(image_deltas[rows, labels], image_proposals[rows], stds)
        boxes = clip_boxes(boxes, size)
        large = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(dim=-1)
        boxes, labels, candidate_scores = boxes[large], labels[large], image_scores[rows, labels][large]
        keep = batched_nms(boxes, candidate_scores, labels, nms_threshold)[:max_detections]
        detections.append(Detections(boxes=boxes[keep], scores=candidate_scores[keep], labels=labels[keep]))
    return detections
