"""TensorFlow's SAME padding, which networks that it trained want back."""

import torch.nn.functional as F
from torch import Tensor, nn

from detection.models.backbones.depthwise import StridedDepthwiseConv2d
from detection.models.backbones.folding import FoldingConv2d


def pad_as_tensorflow(module: nn.Module) -> None:
    """Let the convolutions of stride 2 inside pad as TensorFlow does.

    An even side is padded at its end only, where PyTorch pads both ends: the windows lie one pixel further.

    Args:
        module: whose strided convolutions are 3x3, and whose batch norms are folded already, or never.

    Raises:
        ValueError: it has others.
    """
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and max(conv.stride) > 1:
            if (conv.kernel_size, conv.stride) != ((3, 3), (2, 2)):
                raise ValueError(
                    "TensorFlow pads convolutions of 3x3 cells and stride 2 here, not those of "
                    f"{conv.kernel_size} and {conv.stride}: change model.network.extras or same_padding."
                )
            conv.__class__ = _SameFoldingConv2d if isinstance(conv, FoldingConv2d) else _SameConv2d
            conv.padding = (0, 0)


class _SamePadding(nn.Conv2d):
    """A 3x3 convolution of stride 2."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        height, width = x.shape[2:]
        padded = F.pad(x, (width % 2, 1, height % 2, 1))
        convolved: Tensor = super()._conv_forward(padded, weight, bias)
        return convolved


class _SameConv2d(_SamePadding):
    """One that stands alone."""


class _SameFoldingConv2d(_SamePadding, StridedDepthwiseConv2d):
    """One that does the work of the batch norm behind it."""
