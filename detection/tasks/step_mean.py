"""One optimizer step, however many parts and processes its images are divided among."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class StepMean:
    """Keeps the gradients that parts leave behind at those of a weighted mean over all parts so far.

    The loss of a step is ``(w_1 L_1 + ... + w_k L_k) / (w_1 + ... + w_k)`` over its parts, on all processes:
    of SSD, ``w`` counts positive anchors, of Faster R-CNN images. Nobody knows the weights of the parts to
    come, so with each part the gradients of those before are scaled from their own total of weights to the
    new one. After any part, then, also after the last of a group that an epoch's end has cut short, they are
    those of one batch with the same images; clipping and the optimizer see nothing else.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None  # of the weights, then of each loss by weight; over all processes

    def begin(self) -> None:
        """Begin a new step."""
        self._sums = None

    @torch.no_grad()
    def add(
        self,
        losses: Mapping[str, Tensor],
        weight: Tensor,
        parameters: Iterable[nn.Parameter],
        reduce: Callable[..., Any],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Take up the next part, before its gradients are added.

        Args:
            losses: means over this process's share of the part, scalars.
            weight: of that share, a scalar.
            parameters: whose gradients hold what the parts before have left.
            reduce: sums a tensor over all processes, with ``reduce_op="sum"``.

        Returns:
            The factor of this process's losses in the mean over the step, and that mean so far.
        """
        weight = weight.float()
        ours = torch.stack([weight, *(loss.detach().float() * weight for loss in losses.values())])
        sums: Tensor = reduce(ours, reduce_op="sum")
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self._sums is not None and gradients:  # without any, what came before has been dropped
            sums = sums + self._sums
            earlier = self._sums[0] / _divisor(sums[0])
            for gradient in gradients:
                gradient.mul_(earlier)
        self._sums = sums
        means = sums[1:] / _divisor(sums[0])
        return weight / _divisor(sums[0]), dict(zip(losses, means.unbind(), strict=True))


def _divisor(weight: Tensor) -> Tensor:
    """Of a total of zero all terms are zero, too."""
    return weight.where(weight > 0, 1)
