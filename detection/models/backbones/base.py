"""What every backbone offers to the detector built on it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detection.bounds import Natural

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (123.675, 116.28, 103.53)
IMAGENET_STD: Channels = (58.395, 57.12, 57.375)


class Backbone(nn.Module, ABC):
    """A stack of convolutions that returns the feature maps of several strides, finest first.

    A subclass sets ``family``, ``channels`` and ``strides``, calls ``self.train()`` once it is built, and
    takes what configurations give: ``weights``, ``strides``, ``freeze_batchnorm``, ``frozen_blocks``.

    Attributes:
        family: which architecture this is; with the input size it decides SSD's anchors and extras, by rule
            (``preset_by_rule``) where none were published for it.
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

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The parts that ``frozen_blocks`` counts, from the input on."""

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps normalised images ``(B, 3, H, W)`` to one ``(B, channels[i], H_i, W_i)`` per stride."""

    def take_last_stage(self) -> tuple[nn.Module, int]:
        """Hands the stage behind the map of stride 16 over to a head that runs it on regions.

        The backbone ends at that map from then on.

        Returns:
            The stage, which halves the resolution, and the channels of its output.

        Raises:
            ValueError: it has no such stage, a map is that stage's, or it was taken before.
        """
        raise ValueError(
            f"Faster R-CNN on one feature map needs a backbone whose last stage can be taken, not "
            f"{type(self).__name__}: choose model/backbone=resnet50, or a model with a feature pyramid."
        )

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
