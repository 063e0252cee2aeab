"""The loss of a detector's second stage (Girshick 2015, section 2.3).

Shapes: ``B`` images, ``R`` sampled proposals over all of them, ``C`` foreground classes.
"""

from collections.abc import Sequence
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
    num_sampled: Sequence[int] | None = None,
    beta: float = 1.0,
    class_weights: Tensor | None = None,
) -> RoILoss:
    """Cross entropy over the proposals, plus smooth L1 over the box of the true class of the positives.

    Both are means over images. Of an image both are sums divided by the number of its proposals, positive or
    not, so it counts as much whatever it is batched with. Of an image without any proposal both are zero,
    and their gradients are zero, not missing.

    Args:
        logits: ``(R, C + 1)``, background first. ``R`` may be 0.
        deltas: ``(R, C, 4)``, one box per foreground class.
        gt_labels: int64 ``(R,)``, 0 for background, ``k + 1`` for class ``k``.
        gt_deltas: ``(R, 4)``; read where ``gt_labels`` is positive.
        num_sampled: how many of the ``R`` proposals are of each image, in order; all of one, if None.
        beta: where the box loss turns from quadratic to linear, in encoded deltas: 1 in the paper (equation
            3); 1/9 in torchvision (``fastrcnn_loss``), which sums and divides alike.
        class_weights: float32 ``(C + 1,)``, factors on the cross entropy by ``gt_labels``; the divisor stays
            the number of proposals. None for 1.

    Returns:
        The two losses.
    """
    positive = gt_labels > 0
    own_class = (gt_labels - 1).clamp(min=0)  # any class will do where the result is masked
    own_deltas = deltas[torch.arange(len(deltas), device=deltas.device), own_class]
    cross_entropy = F.cross_entropy(logits.float(), gt_labels, class_weights, reduction="none")
    box_losses = F.smooth_l1_loss(own_deltas.float(), gt_deltas.float(), reduction="none", beta=beta)
    smooth_l1 = box_losses.sum(dim=-1)

    counts = [len(gt_labels)] if num_sampled is None else list(num_sampled)
    return RoILoss(
        cls=_mean_over_images(cross_entropy, counts),
        box=_mean_over_images(smooth_l1.where(positive, 0), counts),
    )


def _mean_over_images(losses: Tensor, counts: list[int]) -> Tensor:
    of_images = [image.sum() / max(1, len(image)) for image in losses.split(counts)]
    return torch.stack(of_images).mean()
