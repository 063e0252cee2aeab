"""The loss of SSD (Liu et al. 2016, section 2.2).

Shapes: ``B`` images, ``A`` anchors, ``C`` foreground classes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from detection.ops import processor
from detection.ops.sampling import select_hard_negatives

# In place of a label: the anchor is neither positive nor a hard negative.
_NOT_COUNTED = -1


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
) -> MultiboxLoss:
    """Cross entropy over positives and hard negatives, plus smooth L1 over positives.

    Both are sums over the batch divided by the number of positives. Without any positive both are zero,
    and their gradients are zero, not missing. An image without positives adds nothing.

    Args:
        logits: ``(B, A, C + 1)``, background first.
        deltas: ``(B, A, 4)``.
        gt_labels: int64 ``(B, A)``, 0 for background, ``k + 1`` for class ``k``.
        gt_deltas: ``(B, A, 4)``; read where ``gt_labels`` is positive.
        neg_pos_ratio: hard negatives kept per positive, in each image.
        class_weights: float32 ``(C + 1,)``, factors on the cross entropy by ``gt_labels``; the divisor stays
            the number of positives. None for 1.

    Returns:
        ``total = cls + box``, and its two parts, float32.
    """
    positive = gt_labels > 0
    counted = positive | select_hard_negatives(_background_loss(logits), positive, neg_pos_ratio)
    cls_rows, box_rows = _rows(counted), _rows(positive)
    cls = F.cross_entropy(
        _pick(logits, cls_rows).float(),
        _pick(gt_labels.masked_fill(~counted, _NOT_COUNTED), cls_rows),
        class_weights,
        ignore_index=_NOT_COUNTED,
        reduction="sum",
    )
    # Elsewhere prediction and target are made equal, which adds nothing to the loss or to the gradient.
    own_gt_deltas = _pick(gt_deltas, box_rows).float()
    own_deltas = _pick(deltas, box_rows).where(_pick(positive.unsqueeze(-1), box_rows), own_gt_deltas)
    box = F.smooth_l1_loss(own_deltas, own_gt_deltas, reduction="sum", beta=1.0)

    num_positives = positive.sum().clamp(min=1)  # where there is none, both sums are zero
    cls, box = cls / num_positives, box / num_positives
    return MultiboxLoss(cls + box, cls, box)


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
