"""Depthwise convolutions that halve the resolution, trained in half precision on a CPU."""

import torch
from torch import Tensor, nn

from detection.models.backbones.folding import FoldingConv2d


def keep_strided_depthwise_in_float32(module: nn.Module) -> None:
    """Make the strided depthwise convolutions of a module compute in float32 where half precision is slow.

    Args:
        module: whose convolutions and batch norms are folded already.
    """
    for conv in module.modules():
        if type(conv) is FoldingConv2d and conv.groups == conv.in_channels > 1 and max(conv.stride) > 1:
            conv.__class__ = StridedDepthwiseConv2d


class StridedDepthwiseConv2d(FoldingConv2d):
    """Computes in float32 where a CPU trains in half precision.

    For the gradient of its input in bfloat16 oneDNN has only its reference code: 180 ms for 144 channels of
    75x75 and 16 images, where float32 takes 28. Three such layers took a quarter of the training step of an
    SSD with MobileNetV2. What needs no gradient stays in half precision.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not (x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and x.requires_grad):
            found: Tensor = super()._conv_forward(x, weight, bias)
            return found
        with torch.autocast("cpu", enabled=False):
            bias = None if bias is None else bias.float()
            exact: Tensor = super()._conv_forward(x.float(), weight.float(), bias)
            return exact.to(x.dtype)
