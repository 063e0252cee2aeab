"""The loss of a detector's second stage (Girshick 2015, section 2.3).

Shapes: ``R`` sampled proposals over all images, ``C`` foreground classes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class RoILoss(NamedTuple):
    """Scalars, float32."""

    cls: Tensor
    box: Tensor


def roi_loss(
    logits: Tensor,
    deltas: Tensor,
    gt_labels: Tensor,
    gt_deltas: Tensor,
    num_sampled: Tensor | None = None,
    beta: float = 1.0,
) -> RoILoss:
    """Cross entropy over the proposals, plus smooth L1 over the box of the true class of the positives.

    Both are sums divided by the number of proposals, positive or not. Without any proposal both are
    zero, and their gradients are zero, not missing.

    Args:
        logits: ``(R, C + 1)``, background first. ``R`` may be 0.
        deltas: ``(R, C, 4)``, one box per foreground class.
        gt_labels: int64 ``(R,)``, 0 for background, ``k + 1`` for class ``k``.
        gt_deltas: ``(R, 4)``; read where ``gt_labels`` is positive.
        num_sampled: the divisor, a scalar; by default ``R``. With several processes pass the mean of
            their counts: the average of the gradients is then that of one process with the whole batch.
        beta: where the box loss turns from quadratic to linear, in encoded deltas: 1 in the paper (equation
            3); 1/9 in torchvision (``fastrcnn_loss``), which sums and divides alike.

    Returns:
        The two losses.
    """
    positive = gt_labels > 0
    own_class = (gt_labels - 1).clamp(min=0)  # any class will do where the result is masked
    own_deltas = deltas[torch.arange(len(deltas), device=deltas.device), own_class]
    cross_entropy = F.cross_entropy(logits.float(), gt_labels, reduction="none")
    box_losses = F.smooth_l1_loss(own_deltas.float(), gt_deltas.float(), reduction="none", beta=beta)
    smooth_l1 = box_losses.sum(dim=-1)

    if num_sampled is None:
        num_sampled = torch.tensor(len(gt_labels), device=logits.device)
    # A mean over processes may be less than one; only zero, where both sums are zero too, needs replacing.
    divisor = num_sampled.float().masked_fill(num_sampled == 0, 1)
    return RoILoss(cls=cross_entropy.sum() / divisor, box=smooth_l1.where(positive, 0).sum() / divisor)
