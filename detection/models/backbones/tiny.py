"""A small network for small images: learns generated data on a CPU in minutes, from scratch."""

from collections.abc import Sequence

from torch import Tensor, nn

from detection.models.backbones.base import Backbone

# (channels, stride) of each 3x3 convolution; maps are taken after the 4th, 6th and 8th.
_LAYERS = ((24, 2), (48, 2), (96, 2), (96, 1), (160, 2), (160, 1), (160, 2), (160, 1))
_TAPS = (3, 5, 7)


class TinyBackbone(Backbone):
    """Eight 3x3 convolutions with batch norm; maps of stride 8, 16 and 32.

    Args:
        weights: must be None; nobody published weights for it.
        freeze_batchnorm: use the stored batch statistics.
        frozen_blocks: how many of the eight layers, from the input on, keep their weights.
    """

    family = "tiny"
    channels = (96, 160, 160)
    strides = (8, 16, 32)

    def __init__(self, weights: None = None, freeze_batchnorm: bool = False, frozen_blocks: int = 0) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
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
        """Returns the three maps."""
        x, maps = images, []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in _TAPS:
                maps.append(x)
        return maps
