"""torchvision's ResNets."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision import models

from detection.models.backbones.base import Backbone
from detection.models.backbones.weights import load_submodule, read_weights

# IMAGENET1K_V1 are the weights that the published detection recipes start from.
_RESNETS = {
    18: (models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1),
    34: (models.resnet34, models.ResNet34_Weights.IMAGENET1K_V1),
    50: (models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    101: (models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1),
}


class ResNetBackbone(Backbone):
    """ResNet "v1.5": a bottleneck strides on its 3x3 convolution (the paper's on the 1x1 before it).

    Args:
        depth: 18, 34, 50 or 101.
        weights: ``"imagenet"``, a path, or None for random.
        strides: ``(16, 32)`` returns layer3 and layer4. ``(8, 16)`` is for inputs of 300 pixels and at
            most depth 34: layer3 keeps the resolution, and layer2 and layer4 are returned.
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
        frozen_blocks: int = 0,
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
        if self.strides == (16, 32):
            self.channels = (256 * expansion, 512 * expansion)
        elif self.strides == (8, 16) and expansion == 1:
            self.channels = (128, 512)
            self.layer3[0].conv1.stride = (1, 1)
            self.layer3[0].downsample[0].stride = (1, 1)
        else:
            raise ValueError(f"ResNet-{depth} has no maps of strides {self.strides}; see its documentation.")
        self.train()

    def blocks(self) -> Sequence[nn.Module]:
        """The stem and the four layers."""
        stem = nn.Sequential(self.conv1, self.bn1)
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the two maps described by ``strides``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        c3 = self.layer2(self.layer1(x))
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return [c4 if self.strides == (16, 32) else c3, c5]
