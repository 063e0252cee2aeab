"""The loss of a region proposal network (Ren et al. 2015, section 3.1.2).

Shapes: ``B`` images, ``A`` anchors.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

# Where the box loss turns from quadratic to linear: 1 / sigma^2 with the authors' sigma of 3; torchvision's.
_BETA = 1 / 9


class RPNLoss(NamedTuple):
    """Scalars, float32."""

    cls: Tensor
    box: Tensor


def rpn_loss(
    logits: Tensor,
    deltas: Tensor,
    gt_labels: Tensor,
    gt_deltas: Tensor,
) -> RPNLoss:
    """Binary cross entropy over the sampled anchors, plus smooth L1 over the positive ones.

    Both are means over images. Of an image both are sums divided by the number of its SAMPLED anchors, so
    the box loss does not grow when it has few positives, and an image counts as much whatever it is batched
    with. Of an image without any sample both are zero, and their gradients are zero, not missing.

    Args:
        logits: objectness ``(B, A)``.
        deltas: ``(B, A, 4)``.
        gt_labels: int64 ``(B, A)``: 1 object, 0 background, -1 not sampled.
        gt_deltas: ``(B, A, 4)``; read where ``gt_labels`` is 1.

    Returns:
        The two losses.
    """
    sampled, positive = gt_labels >= 0, gt_labels > 0
    cross_entropy = F.binary_cross_entropy_with_logits(logits.float(), positive.float(), reduction="none")
    smooth_l1 = F.smooth_l1_loss(deltas.float(), gt_deltas.float(), reduction="none", beta=_BETA).sum(dim=-1)

    num_sampled = sampled.sum(dim=1).clamp(min=1)  # where there is none, the sums are zero too
    return RPNLoss(
        cls=(cross_entropy.where(sampled, 0).sum(dim=1) / num_sampled).mean(),
        box=(smooth_l1.where(positive, 0).sum(dim=1) / num_sampled).mean(),
    )
