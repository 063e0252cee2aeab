"""A small network for small images: learns generated data on a CPU in minutes, from scratch."""

from collections.abc import Sequence

from torch import Tensor, nn

from detection.bounds import Natural
from detection.models.backbones.base import Backbone

# (channels, stride) of each 3x3 convolution.
_LAYERS = ((24, 2), (48, 2), (96, 2), (96, 1), (160, 2), (160, 1), (160, 2), (160, 1))
# Index of the layer that gives the map of each stride.
_TAPS = {8: 3, 16: 5, 32: 7}


class TinyBackbone(Backbone):
    """Eight 3x3 convolutions with batch norm; maps of stride 8, 16 and 32.

    Args:
        weights: must be None; nobody published weights for it.
        freeze_batchnorm: use the stored batch statistics.
        frozen_blocks: how many of the eight layers, from the input on, keep their weights.
        strides: which of the maps to return, finest first.

    Raises:
        ValueError: for an unknown stride.
    """

    family = "tiny"

    def __init__(
        self,
        weights: None = None,
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
        strides: Sequence[int] = (8, 16, 32),
    ) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
        if not strides or not set(strides) <= set(_TAPS) or list(strides) != sorted(set(strides)):
            raise ValueError(
                f"TinyBackbone has maps of strides 8, 16 and 32, in this order, not {list(strides)}: set "
                "model.backbone.strides=[8,16,32] or some of these, or choose another model/backbone."
            )
        self.strides = tuple(strides)
        self.channels = tuple(_LAYERS[_TAPS[stride]][0] for stride in strides)
        self.layers = nn.ModuleList()
        in_channels = 3
        for channels, stride in _LAYERS:
            conv = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.layers.append(nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)))
            in_channels = channels
        self.train()

    def blocks(self) -> Sequence[nn.Module]:
        """The eight layers."""
        return list(self.layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps described by ``strides``."""
        x, outputs = images, []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return [outputs[_TAPS[stride]] for stride in self.strides]
