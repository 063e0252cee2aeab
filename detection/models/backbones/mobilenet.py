"""torchvision's MobileNetV2."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from detection.bounds import Natural
from detection.models.backbones.base import Backbone
from detection.models.backbones.depthwise import keep_strided_depthwise_in_float32
from detection.models.backbones.folding import fold_batchnorms
from detection.models.backbones.weights import load_submodule, read_weights

# Stride and channels of the tap inside each block that halves the resolution.
_TAPS = {4: (4, 144), 7: (8, 192), 14: (16, 576)}
_CHANNELS = {**dict(_TAPS.values()), 32: 1280}


class MobileNetV2Backbone(Backbone):
    """MobileNetV2 of width 1; maps of stride 4, 8, 16 and 32 with 144, 192, 576 and 1280 channels.

    Strides 16 and 32 are SSDLite's: the expansion of the block that halves the resolution, and the last
    layer (MobileNetV2 paper, section 6.2). Strides 4 and 8 are taken by the same rule, earlier.

    Args:
        weights: ``"imagenet"``, a path, or None for random.
        freeze_batchnorm: keep all batch norms at their ImageNet statistics, scale and shift.
        frozen_blocks: how many of the 19 blocks, from the input on, keep their weights. The first four work
            on the largest maps: freezing them saves a third of the time of a training step.
        strides: which of the maps to return, finest first.

    Raises:
        ValueError: for an unknown stride, or if the weights cannot be had or do not fit.
    """

    family = "mobilenet_v2"

    def __init__(
        self,
        weights: str | None = "imagenet",
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
        strides: Sequence[int] = (8, 16, 32),
    ) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
        if not strides or not set(strides) <= set(_CHANNELS) or list(strides) != sorted(set(strides)):
            raise ValueError(
                f"MobileNetV2 has maps of strides 4, 8, 16 and 32, in this order, not {list(strides)}: set "
                "model.backbone.strides=[4,8,16,32] or some of these."
            )
        self.strides = tuple(strides)
        self.channels = tuple(_CHANNELS[stride] for stride in strides)
        self.features = mobilenet_v2(weights=None).features
        if weights is not None:
            state = read_weights(weights, MobileNet_V2_Weights.IMAGENET1K_V1)
            load_submodule(self.features, state, weights)
        fold_batchnorms(self.features)
        keep_strided_depthwise_in_float32(self.features)
        self.train()

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, the 17 inverted residuals and the last 1x1 convolution."""
        return list(self.features)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps described by ``strides``."""
        x = images
        maps = {}
        for i, block in enumerate(self.features):
            if i in _TAPS:  # these halve the resolution, so they have no residual connection to keep
                expanded = block.conv[0](x)
                maps[_TAPS[i][0]] = expanded
                x = block.conv[1:](expanded)
            else:
                x = block(x)
        maps[32] = x
        return [maps[stride] for stride in self.strides]
