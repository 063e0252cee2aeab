"""What every backbone offers to the detector built on it."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (123.675, 116.28, 103.53)
IMAGENET_STD: Channels = (58.395, 57.12, 57.375)


class Backbone(nn.Module):
    """A stack of convolutions that returns the feature maps of several strides, finest first.

    Attributes:
        family: which architecture this is; with the input size it decides SSD's anchors and extras.
        channels: of each map that ``forward`` returns.
        strides: input pixels per cell of each map.
        mean: RGB mean that the weights were trained with, on the scale 0..255.
        std: RGB standard deviation that the weights were trained with, on the scale 0..255.
    """

    family: ClassVar[str]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD

    def __init__(self, freeze_batchnorm: bool = False) -> None:
        super().__init__()
        self._freeze_batchnorm = freeze_batchnorm

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps normalised images ``(B, 3, H, W)`` to one ``(B, channels[i], H_i, W_i)`` per stride."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Backbone":
        """Switches the mode; a frozen batch norm keeps using its ImageNet statistics and never trains."""
        super().train(mode)
        if self._freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval().requires_grad_(False)
        return self
