"""The layers that SSD adds to its backbone, with the initialisation of the published trainings."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from detection.models.backbones import Backbone
from detection.models.backbones.same_padding import pad_as_tensorflow
from detection.models.presets import ExtraLayer
from detection.ops.anchors import Step

# Of the weights of a new lite head, as SSDLite was published (TensorFlow's configuration for MobileNetV2).
# Adam moves all weights alike, so larger ones learn more slowly: with PyTorch's usual start of the depthwise
# convolution and Xavier's of the 1x1 the mAP after three epochs is less than half.
_LITE_STD = 0.03


class LiteBatchNorm2d(nn.BatchNorm2d):
    """The batch norm of SSDLite's own layers, also behind the last map.

    That map may be a single cell: a batch of one image then has no variance, and the stored one is used.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class Extra(nn.Sequential):
    """One extra layer; ``min_size`` is the smallest side in cells of a map that it can take."""

    min_size: int

    def refuse_too_small(self, x: Tensor, images: Tensor) -> None:
        """Refuse images that leave a map too small for this layer.

        Args:
            x: the map ``(B, C, H, W)``.
            images: that it comes from.

        Raises:
            ValueError: if it is.
        """
        if min(x.shape[2:]) < self.min_size:
            raise ValueError(
                f"Images of {images.shape[2]}x{images.shape[3]} are too small for this SSD: a map of "
                f"{x.shape[2]}x{x.shape[3]} cells is left where its next layer needs {self.min_size}. "
                "Choose a larger data.size."
            )


def extra_layers(
    in_channels: int, layers: Sequence[Sequence[int]], separable: bool, same_padding: bool, batchnorm: bool
) -> list[Extra]:
    """Builds all extra layers, each on the one before.

    Args:
        in_channels: of the map before the first.
        layers: what to build, an ``ExtraLayer`` each.
        separable: whether to build ``separable_extra_layer``.
        same_padding: of separable ones.
        batchnorm: whether others have batch norm.
    """
    extras = []
    for i, layer in enumerate(ExtraLayer(*numbers) for numbers in layers):
        # The last map may be a single cell, where a batch of one image has no variance to divide by.
        last = i == len(layers) - 1
        extras.append(
            separable_extra_layer(in_channels, layer, same_padding)
            if separable
            else extra_layer(in_channels, layer, batchnorm, batchnorm and not last)
        )
        in_channels = layer.out_channels
    return extras


def extra_layer(in_channels: int, layer: ExtraLayer, mid_batchnorm: bool, out_batchnorm: bool) -> Extra:
    """Builds a 1x1 convolution and a larger one, each with ReLU.

    Args:
        in_channels: of the map before.
        layer: what to build.
        mid_batchnorm: whether batch norm follows the 1x1 convolution.
        out_batchnorm: whether batch norm follows the larger one.
    """
    extra = Extra(
        *_conv_relu(in_channels, layer.mid_channels, 1, 1, 0, mid_batchnorm),
        *_conv_relu(layer.mid_channels, *layer[1:], out_batchnorm),
    )
    extra.min_size = layer.kernel - 2 * layer.padding
    return extra


def separable_extra_layer(in_channels: int, layer: ExtraLayer, same_padding: bool) -> Extra:
    """Builds a 1x1, a larger depthwise and another 1x1 convolution, each with batch norm and ReLU6 (SSDLite).

    Args:
        in_channels: of the map before.
        layer: what to build.
        same_padding: pad as TensorFlow does, in place of the layer's padding.
    """
    mid, out = layer.mid_channels, layer.out_channels
    convolutions = (
        nn.Conv2d(in_channels, mid, 1, bias=False),
        nn.Conv2d(mid, mid, layer.kernel, layer.stride, layer.padding, groups=mid, bias=False),
        nn.Conv2d(mid, out, 1, bias=False),
    )
    for conv in convolutions:
        nn.init.normal_(conv.weight, std=_LITE_STD)
    triples = [(conv, LiteBatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True)) for conv in convolutions]
    extra = Extra(*(module for triple in triples for module in triple))
    extra.min_size = 1 if same_padding else layer.kernel - 2 * layer.padding
    if same_padding:
        pad_as_tensorflow(extra)
    return extra


class Pyramid(FeaturePyramidNetwork):  # type: ignore[misc]  # torchvision has no types
    """Adds to every map what the coarser ones know (Lin et al. 2017, "Feature Pyramid Networks", section 3).

    The neck of Faster R-CNN's pyramid, over the backbone's maps and the extra layers', with batch norms and
    a ReLU: SSD's predictors are a convolution each, and two in a row without anything between are one.

    Args:
        in_channels: of each map, finest first.
        out_channels: of each map afterwards.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int = 128) -> None:
        super().__init__(list(in_channels), out_channels, norm_layer=LiteBatchNorm2d)
        self.out_channels = out_channels

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, C_i, H_i, W_i)``, finest first, to those of the same sizes with ``out_channels``."""
        named: dict[str, Tensor] = super().forward(OrderedDict((str(i), x) for i, x in enumerate(maps)))
        return [nn.functional.relu(x) for x in named.values()]


def _conv_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, batchnorm: bool
) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=not batchnorm)
    # Normal Xavier over the fan-out with the gain of a ReLU, which PyTorch knows by Kaiming's name.
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    norm = [nn.BatchNorm2d(out_channels)] if batchnorm else []
    return [conv, *norm, nn.ReLU(inplace=True)]


def prediction_head(
    in_channels: int, out_channels: int, lite: bool, lite_norm: Callable[[int], nn.Module] | None
) -> nn.Sequential:
    """Builds a predictor for one map.

    Args:
        in_channels: of the map.
        out_channels: predictions per cell.
        lite: a 3x3 depthwise convolution with ReLU6, then a 1x1, in place of one 3x3 convolution.
        lite_norm: makes the batch norm that follows the depthwise convolution; None for none.
    """
    layers: list[nn.Module] = []
    if lite:
        depthwise = nn.Conv2d(
            in_channels, in_channels, 3, padding=1, groups=in_channels, bias=lite_norm is None
        )
        nn.init.normal_(depthwise.weight, std=_LITE_STD)
        if depthwise.bias is not None:
            nn.init.zeros_(depthwise.bias)
        layers.append(depthwise)
        layers += [lite_norm(in_channels)] if lite_norm else []
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers, predictor(in_channels, out_channels, kernel=1 if lite else 3))


def predictor(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """Builds the convolution that predicts, the last layer of a head.

    Args:
        in_channels: of its input.
        out_channels: predictions per cell.
        kernel: its side in cells, odd; 1 in a lite head.
    """
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    if kernel == 1:
        nn.init.normal_(conv.weight, std=_LITE_STD)
    else:
        nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


@torch.no_grad()
def expect_background(class_heads: Iterable[nn.Module], num_classes: int, prior: float) -> None:
    """Lets untrained predictors see background everywhere, and each class with a small probability.

    Focal loss counts every anchor, and nearly all are background: from even odds their sheer number would
    decide the first steps.

    Args:
        class_heads: of each map.
        num_classes: without background.
        prior: the probability of a class against the background.
    """
    for head in class_heads:
        assert isinstance(head, nn.Sequential)
        bias = head[-1].bias
        assert isinstance(bias, Tensor)
        bias.unflatten(0, (-1, num_classes + 1))[:, 0] = math.log((1 - prior) / prior)


def check_arguments(
    backbone: Backbone,
    strides: Sequence[int],
    extras: Sequence[Sequence[int]],
    anchor_sizes: Sequence[float],
    anchor_ratios: Sequence[Sequence[float]],
    anchor_steps: Sequence[Step],
) -> None:
    """Refuse arguments of ``SSD`` that do not fit each other or the backbone.

    Raises:
        ValueError: if they do not.
    """
    num_maps = len(strides) + len(extras)
    needed: dict[str, tuple[int, Sequence[Any]]] = {
        "anchor_sizes": (num_maps + 1, anchor_sizes),  # see ``ssd_anchors``
        "anchor_ratios": (num_maps, anchor_ratios),
        "anchor_steps": (num_maps, anchor_steps),
    }
    for name, (count, values) in needed.items():
        if len(values) != count:
            one_more = "one for each and one more" if count > num_maps else "one for each"
            raise ValueError(
                f"model.network.{name}={list(values)}: this SSD has {num_maps} maps ({len(strides)} of the "
                f"backbone, {len(extras)} extras) and needs {one_more}: {count}, not {len(values)}."
            )
    if not set(strides) <= set(backbone.strides):
        raise ValueError(
            f"This SSD needs maps of strides {tuple(strides)}, but {type(backbone).__name__} has "
            f"{backbone.strides}: set model.backbone.strides=[{','.join(map(str, strides))}], or choose "
            "another data.size."
        )


@contextmanager
def unfit_sizes_in_a_sentence(image_size: tuple[int, int], multiple: int) -> Iterator[None]:
    """Say of what a network does not take that its size is why: some of timm's models do not round.

    Args:
        image_size: ``(height, width)`` of the input in pixels.
        multiple: sides of which the network takes.

    Raises:
        ValueError: whatever went wrong.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"This backbone takes no inputs of {image_size[0]}x{image_size[1]} pixels "
            f"({str(error).partition(chr(10))[0]:.100}): set data.size to a multiple of {multiple}."
        ) from error
