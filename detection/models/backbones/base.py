"""What every backbone offers to the detector built on it."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detection.bounds import Natural

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

    def __init__(self, freeze_batchnorm: bool = False, frozen_blocks: Natural = 0) -> None:
        super().__init__()
        self._freeze_batchnorm = freeze_batchnorm
        self._frozen_blocks = frozen_blocks

    def blocks(self) -> Sequence[nn.Module]:
        """The parts that ``frozen_blocks`` counts, from the input on."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps normalised images ``(B, 3, H, W)`` to one ``(B, channels[i], H_i, W_i)`` per stride."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Backbone":
        """Switches the mode; what is frozen keeps its weights and uses its stored batch statistics."""
        super().train(mode)
        for block in self.blocks()[: self._frozen_blocks]:
            block.eval().requires_grad_(False)
        if self._freeze_batchnorm:
            freeze_batchnorm(self)
        return self


def freeze_batchnorm(module: nn.Module) -> None:
    """Lets all batch norms inside use their stored statistics, and not train. ``train`` undoes the first."""
    for submodule in module.modules():
        if isinstance(submodule, _BatchNorm):
            submodule.eval().requires_grad_(False)
