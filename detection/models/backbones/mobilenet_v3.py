"""torchvision's MobileNetV3."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

from detection.bounds import Natural
from detection.models.backbones.base import Backbone
from detection.models.backbones.depthwise import keep_strided_depthwise_in_float32
from detection.models.backbones.folding import fold_batchnorms
from detection.models.backbones.weights import load_submodule, read_weights

# The block that halves the resolution for the last time.
_LAST_STRIDED = 13


class MobileNetV3LargeBackbone(Backbone):
    """MobileNetV3-Large of width 1.

    Args:
        weights: ``"imagenet"``, a path, or None for random.
        freeze_batchnorm: keep all batch norms at their ImageNet statistics, scale and shift.
        frozen_blocks: how many of the 17 blocks, from the input on, keep their weights.
        strides: ``(16, 32)`` returns SSDLite's maps, the expansion of the block that halves the resolution
            for the last time and the last layer (MobileNetV3 paper, section 6.3). ``(32, 32)`` returns those
            of torchvision's feature pyramid: the output of that block and the last layer.
        reduced_tail: halve the channels behind stride 16, as SSDLite does (MobileNetV3 paper, table 6);
            ImageNet weights are published without.

    Raises:
        ValueError: for other strides, or if the weights cannot be had or do not fit.
    """

    family = "mobilenet_v3"

    def __init__(
        self,
        weights: str | None = "imagenet",
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
        strides: Sequence[int] = (16, 32),
        reduced_tail: bool = False,
    ) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
        self.strides = tuple(strides)
        if self.strides not in ((16, 32), (32, 32)):
            raise ValueError(
                f"MobileNetV3 has maps of strides [16,32] or [32,32], not {list(strides)}: set "
                "model.backbone.strides to one of these, or choose another model/backbone."
            )
        if reduced_tail and weights == "imagenet":
            raise ValueError(
                "ImageNet weights are published for the whole MobileNetV3-Large: set "
                "model.backbone.reduced_tail=false, or model.backbone.weights=null."
            )
        self.features = mobilenet_v3_large(weights=None, reduced_tail=reduced_tail).features
        if weights is not None:
            state = read_weights(weights, MobileNet_V3_Large_Weights.IMAGENET1K_V1)
            load_submodule(self.features, state, weights)
        block = self.features[_LAST_STRIDED]
        first = block.block[0][0].out_channels if self.strides[0] == 16 else block.out_channels
        self.channels = (first, self.features[-1][0].out_channels)
        fold_batchnorms(self.features)
        keep_strided_depthwise_in_float32(self.features)
        self.train()

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, the 15 inverted residuals and the last 1x1 convolution."""
        return list(self.features)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps described by ``strides``."""
        x: Tensor = self.features[:_LAST_STRIDED](images)
        block = self.features[_LAST_STRIDED].block  # it has no residual connection to keep
        expanded: Tensor = block[0](x)
        reduced: Tensor = block[1:](expanded)
        last: Tensor = self.features[_LAST_STRIDED + 1 :](reduced)
        return [expanded if self.strides[0] == 16 else reduced, last]
