"""Convolution and batch norm in one: where the statistics are fixed, the norm is a factor on the weights.

A norm that is not training multiplies each channel by one number and adds another. Multiplying the
convolution's weights instead saves reading and writing every feature map once more, forward and backward.
Parameters, buffers and their names stay; gradients reach the weights through the factor.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def fold_batchnorms(module: nn.Module) -> None:
    """Pair each convolution with the batch norm that stands behind it in the same container.

    Whether a pair is computed as one is decided at each call, see :class:`FoldingBatchNorm2d`.

    Args:
        module: in whose containers a batch norm right after a convolution is applied to its output, as in
            torchvision's ResNets and MobileNets.
    """
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and conv.bias is None:
                setattr(parent, norm_name, _as(FoldingBatchNorm2d, norm))
                folding = _as(FoldingConv2d, conv)
                folding.behind = (parent, norm_name)
                setattr(parent, conv_name, folding)


class FoldingBatchNorm2d(nn.BatchNorm2d):
    """Leaves its work to the convolution before it where its statistics are fixed and gradients are wanted.

    Without gradients it works itself: with the few images of an inference, multiplying all weights at each
    call takes as long as it saves, and what runs an exported file folds once and for all.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        return x if self.folded else super().forward(x)

    @property
    def folded(self) -> bool:
        """Whether the convolution does it."""
        return not self.training and torch.is_grad_enabled()

    def factor_and_shift(self) -> tuple[Tensor, Tensor]:
        """What the norm multiplies each channel by, and then adds: ``(C,)`` each."""
        assert self.running_mean is not None
        assert self.running_var is not None
        factor = self.weight * torch.rsqrt(self.running_var + self.eps)
        return factor, self.bias - self.running_mean * factor


class FoldingConv2d(nn.Conv2d):
    """A convolution without bias that does the work of the batch norm behind it.

    Attributes:
        behind: the container and the name of the norm in it. It is looked up at each call, because
            SyncBatchNorm may have taken its place; a tuple, so that it is not one of the submodules.
    """

    behind: tuple[nn.Module, str]

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H', W')``."""
        norm = getattr(self.behind[0], self.behind[1])
        if not (isinstance(norm, FoldingBatchNorm2d) and norm.folded):
            return super().forward(x)
        factor, shift = norm.factor_and_shift()
        folded: Tensor = self._conv_forward(x, self.weight * factor[:, None, None, None], shift)
        return folded


def _as(kind: Any, module: nn.Module) -> Any:
    """The module as one of a subclass, with the same parameters, buffers and settings."""
    changed = kind.__new__(kind)
    changed.__dict__ = module.__dict__
    return changed
