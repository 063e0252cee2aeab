"""The loss of SSD (Liu et al. 2016, section 2.2).

Shapes: ``B`` images, ``A`` anchors, ``C`` foreground classes.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from detection.ops import processor
from detection.ops.coding import decode_boxes
from detection.ops.constants import constant
from detection.ops.sampling import select_hard_negatives

# In place of a label: the anchor is neither positive nor a hard negative.
_NOT_COUNTED = -1
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0  # the paper's best (table 1b)

ClassLoss = Literal["softmax", "focal"]
BoxLoss = Literal["smooth_l1", "giou"]


class MultiboxLoss(NamedTuple):
    """Scalars; ``total`` is the one to minimise."""

    total: Tensor
    cls: Tensor
    box: Tensor


def multibox_loss(
    logits: Tensor,
    deltas: Tensor,
    gt_labels: Tensor,
    gt_deltas: Tensor,
    neg_pos_ratio: float = 3.0,
    class_weights: Tensor | None = None,
    class_loss: ClassLoss = "softmax",
    box_loss: BoxLoss = "smooth_l1",
    stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
) -> MultiboxLoss:
    """Cross entropy over positives and hard negatives, plus smooth L1 over positives; or what replaces them.

    Both are sums over the batch divided by ``loss_weight``. With cross entropy, an image without positives
    adds nothing: without any positive both losses are zero, and their gradients are zero, not missing.

    Args:
        logits: ``(B, A, C + 1)``, background first.
        deltas: ``(B, A, 4)``.
        gt_labels: int64 ``(B, A)``, 0 for background, ``k + 1`` for class ``k``.
        gt_deltas: ``(B, A, 4)``; read where ``gt_labels`` is positive.
        neg_pos_ratio: hard negatives kept per positive, in each image; of cross entropy.
        class_weights: float32 ``(C + 1,)``, factors on the classification loss of an anchor by ``gt_labels``;
            the divisor stays as it is. None for 1.
        class_loss: ``softmax``, cross entropy as described; or ``focal``, see ``focal_loss``.
        box_loss: ``smooth_l1`` of the deltas; or ``giou``, see ``giou_loss``.
        stds: what the deltas were divided by; of ``giou``.

    Returns:
        ``total = cls + box``, and its two parts, float32.
    """
    positive = gt_labels > 0
    if class_loss == "focal":
        cls = focal_loss(logits, gt_labels, class_weights)
    else:
        cls = _hard_negative_loss(logits, gt_labels, positive, neg_pos_ratio, class_weights)
    box_rows = _rows(positive)
    # Elsewhere prediction and target are made equal, which adds nothing to the loss or to the gradient.
    own_gt_deltas = _pick(gt_deltas, box_rows).float()
    own_deltas = _pick(deltas, box_rows).where(_pick(positive.unsqueeze(-1), box_rows), own_gt_deltas)
    if box_loss == "giou":
        box = giou_loss(own_deltas, own_gt_deltas, stds)
    else:
        box = F.smooth_l1_loss(own_deltas, own_gt_deltas, reduction="sum", beta=1.0)

    weight = loss_weight(gt_labels, class_loss).clamp(min=1)  # where it is zero, both sums are
    cls, box = cls / weight, box / weight
    return MultiboxLoss(cls + box, cls, box)


def loss_weight(gt_labels: Tensor, class_loss: ClassLoss = "softmax") -> Tensor:
    """What the losses of a batch are divided by, and its weight in the mean over a step, which then is exact.

    The number of positives. Focal loss also learns from images without any, which count as one positive each.

    Args:
        gt_labels: see ``multibox_loss``.
        class_loss: see ``multibox_loss``.

    Returns:
        An integer, as a tensor.
    """
    positives = (gt_labels > 0).sum(dim=1)
    return (positives.clamp(min=1) if class_loss == "focal" else positives).sum()


def focal_loss(logits: Tensor, gt_labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Focal loss of each class of every anchor against the background (Lin et al. 2017, section 3.2), summed.

    What is learned for a class is the sigmoid of its logit less that of the background. The softmax by which
    detections are scored is nearly that sigmoid where one class stands out; so is TensorFlow's SSD read here,
    whose classes were trained by sigmoids.

    Args:
        logits: ``(B, A, C + 1)``, background first.
        gt_labels: int64 ``(B, A)``, 0 for background, ``k + 1`` for class ``k``.
        class_weights: see ``multibox_loss``.

    Returns:
        A scalar, float32.
    """
    logits = logits.float()
    truth = torch.zeros_like(logits).scatter_(2, gt_labels.unsqueeze(-1), 1)[..., 1:]
    against = logits[..., 1:] - logits[..., :1]
    losses: Tensor = sigmoid_focal_loss(against, truth, alpha=_FOCAL_ALPHA, gamma=_FOCAL_GAMMA)
    if class_weights is not None:
        losses = losses * class_weights[gt_labels].unsqueeze(-1)
    return losses.sum()


def giou_loss(deltas: Tensor, gt_deltas: Tensor, stds: Sequence[float]) -> Tensor:
    """One less the generalised IoU (Rezatofighi et al. 2019) of two boxes of one anchor each, summed.

    It does not depend on where the anchor is and how long its sides are, so it needs none. torchvision's
    operator picks the boxes that overlap, for which the host waits for a GPU.

    Args:
        deltas: ``(N, 4)``.
        gt_deltas: ``(N, 4)``.
        stds: what both were divided by.

    Returns:
        A scalar, float32.
    """
    unit = constant((0.0, 0.0, 1.0, 1.0), deltas.device)
    boxes, gt_boxes = decode_boxes(deltas, unit, stds), decode_boxes(gt_deltas, unit, stds)
    loss: Tensor = generalized_box_iou_loss(boxes, gt_boxes, reduction="sum")
    return loss


def _hard_negative_loss(
    logits: Tensor, gt_labels: Tensor, positive: Tensor, neg_pos_ratio: float, class_weights: Tensor | None
) -> Tensor:
    """Cross entropy over positives and hard negatives, summed."""
    counted = positive | select_hard_negatives(_background_loss(logits), positive, neg_pos_ratio)
    rows = _rows(counted)
    return F.cross_entropy(
        _pick(logits, rows).float(),
        _pick(gt_labels.masked_fill(~counted, _NOT_COUNTED), rows),
        class_weights,
        ignore_index=_NOT_COUNTED,
        reduction="sum",
    )


@torch.no_grad()
def _background_loss(logits: Tensor) -> Tensor:
    """Cross entropy of each anchor if it is background, ``(B, A)``."""
    return -logits.log_softmax(dim=-1, dtype=torch.float32)[..., 0]


def _rows(mask: Tensor) -> Tensor | None:
    """Which of the ``B * A`` rows to compute: on a CPU those of the mask, a few in a hundred, else all."""
    return mask.flatten().nonzero().squeeze(1) if processor.on_cpu(mask) else None


def _pick(values: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of ``(B, A, ...)`` values."""
    flat = values.flatten(0, 1)
    return flat if rows is None else flat.index_select(0, rows)
