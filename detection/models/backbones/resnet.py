"""torchvision's ResNets."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision import models

from detection.bounds import Natural
from detection.models.backbones.base import Backbone
from detection.models.backbones.folding import fold_batchnorms
from detection.models.backbones.weights import load_submodule, read_weights

# IMAGENET1K_V1 are the weights that the published detection recipes start from.
_RESNETS = {
    18: (models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1),
    34: (models.resnet34, models.ResNet34_Weights.IMAGENET1K_V1),
    50: (models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    101: (models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1),
}


# For each choice of strides, which of layer1 to layer4 give the maps.
_TAPS = {(16,): (2,), (16, 32): (2, 3), (4, 8, 16, 32): (0, 1, 2, 3), (8, 16): (1, 3)}


class ResNetBackbone(Backbone):
    """ResNet "v1.5": a bottleneck strides on its 3x3 convolution (the paper's on the 1x1 before it).

    Args:
        depth: 18, 34, 50 or 101.
        weights: ``"imagenet"``, a path, or None for random.
        strides: ``(16, 32)`` returns layer3 and layer4, ``(4, 8, 16, 32)`` all four layers, for a feature
            pyramid. ``(16,)`` returns layer3; layer4 waits for a head that takes it. ``(8, 16)`` is for
            inputs of 300 pixels and at most depth 34: layer3 keeps the resolution, and layer2 and layer4
            are returned.
        freeze_batchnorm: keep all batch norms at their ImageNet statistics, scale and shift.
        frozen_blocks: how many of the stem and the four layers, from the input on, keep their weights.

    Raises:
        ValueError: for an unknown depth or strides, or if the weights cannot be had or do not fit.
    """

    family = "resnet"

    def __init__(
        self,
        depth: int = 50,
        weights: str | None = "imagenet",
        strides: Sequence[int] = (16, 32),
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
    ) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
        if depth not in _RESNETS:
            raise ValueError(f"There is no ResNet of depth {depth}; choose from {list(_RESNETS)}.")
        build, published = _RESNETS[depth]
        resnet = build(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        if weights is not None:
            load_submodule(self, read_weights(weights, published), weights)

        expansion = 1 if depth < 50 else 4  # a bottleneck block widens its output
        self.strides = tuple(strides)
        dilated = self.strides == (8, 16)
        if self.strides not in _TAPS or (dilated and expansion > 1):
            raise ValueError(
                f"ResNet-{depth} has no maps of strides {self.strides}: set model.backbone.strides to "
                f"[4,8,16,32], [16,32]{' or' if expansion > 1 else ', [8,16] or'} [16]."
            )
        if dilated:
            self.layer3[0].conv1.stride = (1, 1)
            self.layer3[0].downsample[0].stride = (1, 1)
        fold_batchnorms(self)
        self.channels = tuple(64 * 2**tap * expansion for tap in _TAPS[self.strides])
        self.train()

    def take_last_stage(self) -> tuple[nn.Module, int]:
        """Hands over layer4; see ``Backbone``."""
        if self.strides != (16,) or not hasattr(self, "layer4"):
            raise ValueError(
                f"This needs a backbone of its own with strides (16,), whose layer4 is free; got strides "
                f"{self.strides}. Set model.backbone.strides=[16]."
            )
        layer4: nn.Module = self.layer4
        del self.layer4
        return layer4, 2 * self.channels[0]

    def blocks(self) -> Sequence[nn.Module]:
        """The stem and the four layers."""
        stem = nn.Sequential(self.conv1, self.bn1)
        return [stem, *self._layers()]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps described by ``strides``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        taps = _TAPS[self.strides]
        maps = []
        for layer in self._layers()[: taps[-1] + 1]:
            x = layer(x)
            maps.append(x)
        return [maps[tap] for tap in taps]

    def _layers(self) -> list[nn.Module]:
        last = [self.layer4] if hasattr(self, "layer4") else []
        return [self.layer1, self.layer2, self.layer3, *last]
