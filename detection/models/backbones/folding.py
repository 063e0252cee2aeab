"""Convolution and batch norm in one: where the statistics are fixed, the norm is a factor on the weights.

A norm that is not training multiplies each channel by one number and adds another. Multiplying the
convolution's weights instead saves reading and writing every feature map once more, forward and backward.
Parameters, buffers and their names stay; gradients reach the weights through the factor.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized


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


@torch.no_grad()
def fold_for_good(module: nn.Module) -> None:
    """Multiply each batch norm into the convolution before it, in a network that will only predict.

    The norms are gone then, and with them their names: such a network is neither trained nor saved. What it
    computes is the same but for rounding.

    Args:
        module: in evaluation, with its final weights. Pairs are those of ``fold_batchnorms``, and any in a
            plain sequence; other norms stay, as those of a convolution that stands in several places.
    """
    places = Counter(id(one) for _, one in module.named_modules(remove_duplicate=False))
    for parent in list(module.modules()):
        in_sequence = type(parent).forward is nn.Sequential.forward
        for (_, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if places[id(conv)] > 1 or is_parametrized(conv):
                continue  # others use it without this norm, or its weights are made at each call
            if (in_sequence or isinstance(conv, FoldingConv2d)) and not norm.training:
                _multiply(conv, norm)
                setattr(parent, norm_name, nn.Identity())


def _multiply(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    bias = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean
    weight = conv.weight.double() * factor[:, None, None, None]
    for name, value in (("weight", weight), ("bias", bias * factor + norm.bias)):
        setattr(conv, name, nn.Parameter(value.to(conv.weight.dtype), requires_grad=False))


class FoldingBatchNorm2d(nn.BatchNorm2d):
    """Leaves its work to the convolution before it where its statistics are fixed and gradients are wanted.

    Without gradients it works itself: with the few images of an inference, multiplying all weights at each
    call takes as long as it saves. A detector that only predicts is folded once, by ``fold_for_good``, as
    what runs an exported file does.
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
