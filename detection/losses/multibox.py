"""The loss of SSD (Liu et al. 2016, section 2.2).

Shapes: ``B`` images, ``A`` anchors, ``C`` foreground classes.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from detection.ops.sampling import select_hard_negatives


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
    num_positives: Tensor | None = None,
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
        num_positives: the divisor, a scalar; by default the positives of this batch. With several
            processes pass the mean of their counts: the average of the gradients is then that of one
            process with the whole batch.

    Returns:
        ``total = cls + box``, and its two parts, float32.
    """
    positive = gt_labels > 0
    cross_entropy = F.cross_entropy(logits.flatten(0, 1).float(), gt_labels.flatten(), reduction="none")
    cross_entropy = cross_entropy.view_as(gt_labels)
    counted = positive | select_hard_negatives(cross_entropy, positive, neg_pos_ratio)
    smooth_l1 = F.smooth_l1_loss(deltas.float(), gt_deltas.float(), reduction="none", beta=1.0).sum(dim=-1)

    if num_positives is None:
        num_positives = positive.sum()
    # A mean over processes may be less than one; only zero, where both sums are zero too, needs replacing.
    divisor = num_positives.float().masked_fill(num_positives == 0, 1)
    cls = cross_entropy.where(counted, 0).sum() / divisor
    box = smooth_l1.where(positive, 0).sum() / divisor
    return MultiboxLoss(cls + box, cls, box)
