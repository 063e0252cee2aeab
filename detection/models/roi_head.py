"""The second stage: what is in each proposed region, and where exactly (Fast R-CNN paper, section 2).

Shapes: R regions of all images together, C classes without background. Logits have C + 1 channels;
channel 0 is background.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from detection.models.backbones.base import freeze_batchnorm
from detection.models.transfer import copy_class_predictor, copy_class_rows
from detection.ops.roi_align import RegionPool


class RoIOutput(NamedTuple):
    """The raw predictions, the same in training and evaluation; regions in the order of the proposals."""

    logits: Tensor
    """``(R, C + 1)``, before softmax; 0 is background."""
    deltas: Tensor
    """``(R, C, 4)``, relative to the proposals, for each foreground class."""


class Layer4Body(nn.Module):
    """The last layer of a ResNet, run on each region, then averaged over the region (ResNet paper, app. A).

    Its batch norms are always frozen: the regions of a batch are few, and many are nearly the same.

    Args:
        layer4: of a ResNet, with stride 2.
        channels: of its output.
    """

    def __init__(self, layer4: nn.Module, channels: int) -> None:
        super().__init__()
        self.layer4 = layer4
        self.channels = channels
        self.train()

    def forward(self, pooled: Tensor) -> Tensor:
        """Maps ``(R, C_in, S, S)`` to ``(R, channels)``."""
        features: Tensor = self.layer4(pooled).mean(dim=(2, 3))
        return features

    def train(self, mode: bool = True) -> "Layer4Body":
        """Switches the mode of everything but batch norm."""
        super().train(mode)
        freeze_batchnorm(self)
        return self


class DenseBody(nn.Sequential):
    """Two dense layers with ReLU on the flattened region (FPN paper, section 4.2).

    Args:
        in_channels: of the pooled maps.
        pooled_size: side of the pooled maps in cells.
        channels: of both layers.
    """

    def __init__(self, in_channels: int, pooled_size: int, channels: int) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(in_channels * pooled_size**2, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
        )
        self.channels = channels


class ConvDenseBody(nn.Sequential):
    """Four 3x3 convolutions and a dense layer on each region, as in torchvision's second Faster R-CNN.

    Its batch norms are always frozen, see ``Layer4Body``.

    Args:
        in_channels: of the pooled maps, and of the convolutions.
        pooled_size: side of the pooled maps in cells.
        channels: of the dense layer.
    """

    def __init__(self, in_channels: int, pooled_size: int, channels: int) -> None:
        convolutions = [
            Conv2dNormActivation(in_channels, in_channels, norm_layer=nn.BatchNorm2d) for _ in range(4)
        ]
        for conv, *_ in convolutions:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(
            *convolutions,
            nn.Flatten(),
            nn.Linear(in_channels * pooled_size**2, channels),
            nn.ReLU(inplace=True),
        )
        self.channels = channels
        self.train()

    def train(self, mode: bool = True) -> "ConvDenseBody":
        """Switches the mode of everything but batch norm."""
        super().train(mode)
        freeze_batchnorm(self)
        return self


class RoIHead(nn.Module):
    """Cuts each region out of the feature maps, computes a vector of it, predicts class and box.

    With several feature maps a region is cut from the one whose stride fits its size (FPN paper,
    equation 1): a region of ``canonical_size`` pixels from the map of stride 16, one of half the size
    from stride 8.

    Args:
        body: maps ``(R, C_in, pooled_size, pooled_size)`` to ``(R, body.channels)``.
        num_classes: C, without background.
        strides: pixels per cell of the maps that regions are cut from, finest first, each twice the one
            before; further maps are ignored.
        pooled_size: side in cells of a region after RoIAlign, with 2x2 samples per cell.
        canonical_size: see above.
        predictor_stds: of the first weights of the class and the box predictor, by default Fast R-CNN's
            (section 2.3); None for PyTorch's own start.
    """

    def __init__(
        self,
        body: Layer4Body | DenseBody | ConvDenseBody,
        num_classes: int,
        strides: Sequence[int],
        pooled_size: int,
        canonical_size: int = 224,
        predictor_stds: tuple[float, float] | None = (0.01, 0.001),
    ) -> None:
        super().__init__()
        self.num_classes, self.pooled_size = num_classes, pooled_size
        self.strides = tuple(strides)
        self.pool = RegionPool(strides, pooled_size, canonical_size)
        self.body = body
        self._predictor_stds = predictor_stds
        self.class_predictor, self.box_predictor = self._predictors(num_classes)

    def forward(self, features: Sequence[Tensor], proposals: Sequence[Tensor]) -> RoIOutput:
        """Predicts for every region.

        Args:
            features: one ``(B, C_in, H_l, W_l)`` per stride, or more.
            proposals: ``(R_i, 4)`` xyxy of each image, in pixels of the padded input. All may be empty.
        """
        vectors = self.body(self.pool(features, proposals).to(features[0].dtype))
        deltas = self.box_predictor(vectors).reshape(-1, self.num_classes, 4)
        return RoIOutput(self.class_predictor(vectors), deltas)

    def reset_classes(self, num_classes: int, kept: Mapping[int, int]) -> None:
        """Makes both predictors anew for other classes, but for the rows of those that are kept.

        Args:
            num_classes: without background.
            kept: the old label of each new label that is kept.
        """
        old_class, old_box = self.class_predictor, self.box_predictor
        new_class, new_box = (new.to(old_class.weight) for new in self._predictors(num_classes))
        copy_class_predictor(old_class, new_class, kept, 1)
        copy_class_rows(old_box, new_box, kept, 1, self.num_classes)
        self.class_predictor, self.box_predictor, self.num_classes = new_class, new_box, num_classes

    def _predictors(self, num_classes: int) -> list[nn.Linear]:
        """New predictors of class and box."""
        new = [nn.Linear(self.body.channels, outputs) for outputs in (num_classes + 1, num_classes * 4)]
        if self._predictor_stds is not None:
            for layer, std in zip(new, self._predictor_stds, strict=True):
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)
        return new
