"""Which anchors and extra layers SSD has for which backbone and input size, as plain data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detection.bounds import Cells, Channels, Padding

ExtraNumbers = tuple[Channels, Channels, Cells, Cells, Padding]
"""What an :class:`ExtraLayer` is made of."""


class ExtraLayer(NamedTuple):
    """A 1x1 convolution, then a larger one that shrinks the map; both with ReLU."""

    mid_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True)
class SSDPreset:
    """Arguments of ``SSD``, by the same names."""

    strides: tuple[int, ...]
    extras: tuple[ExtraLayer, ...]
    anchor_sizes: tuple[float, ...]
    anchor_ratios: tuple[tuple[float, ...], ...]
    anchor_steps: tuple[float, ...]
    extras_batchnorm: bool = True
    lite_heads: bool = False
    separable_extras: bool = False
    same_padding: bool = False
    reduced_finest: bool = False
    max_anchor_side: float = math.inf


_R3 = (1, 2, 1 / 2)
_R5 = (1, 2, 1 / 2, 3, 1 / 3)

# SSD paper, section 3.1: 10% of the input at the finest map, then 20% to 105% in equal steps.
_SIZES_300 = (30, 60, 111, 162, 213, 264, 315)
_STEPS_300 = (8, 16, 32, 64, 100, 300)
_RATIOS_300 = (_R3, _R5, _R5, _R5, _R3, _R3)

# GluonCV's for maps of stride 16 to 512.
_SIZES_512 = (51.2, 102.4, 189.4, 276.4, 363.52, 450.6, 492)
_STEPS_512 = (16, 32, 64, 128, 256, 512)
_RATIOS_512 = (_R3, _R5, _R5, _R5, _R3, _R3)
_EXTRAS_512 = (
    ExtraLayer(512, 512, 3, 2, 1),
    ExtraLayer(512, 512, 3, 2, 1),
    ExtraLayer(256, 256, 3, 2, 1),
    ExtraLayer(256, 256, 3, 2, 1),
)

PRESETS: dict[tuple[str, int], SSDPreset] = {
    ("vgg16_atrous", 300): SSDPreset(
        strides=(8, 16),
        extras=(
            ExtraLayer(256, 512, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 1, 0),
            ExtraLayer(128, 256, 3, 1, 0),
        ),
        extras_batchnorm=False,
        anchor_sizes=_SIZES_300,
        anchor_ratios=_RATIOS_300,
        anchor_steps=_STEPS_300,
    ),
    ("vgg16_atrous", 512): SSDPreset(
        strides=(8, 16),
        extras=(
            ExtraLayer(256, 512, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 4, 1, 1),
        ),
        extras_batchnorm=False,
        anchor_sizes=(51.2, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
        anchor_ratios=(_R3, _R5, _R5, _R5, _R5, _R3, _R3),
        anchor_steps=(8, 16, 32, 64, 128, 256, 512),
    ),
    ("resnet", 300): SSDPreset(
        strides=(8, 16),
        extras=(
            ExtraLayer(256, 256, 3, 2, 1),
            ExtraLayer(256, 256, 3, 2, 1),
            ExtraLayer(128, 128, 3, 2, 1),
            ExtraLayer(128, 128, 3, 2, 0),
        ),
        anchor_sizes=(21, 45, 99, 153, 207, 261, 315),
        anchor_ratios=_RATIOS_300,
        anchor_steps=_STEPS_300,
    ),
    ("resnet", 512): SSDPreset(
        strides=(16, 32),
        extras=_EXTRAS_512,
        anchor_sizes=_SIZES_512,
        anchor_ratios=_RATIOS_512,
        anchor_steps=_STEPS_512,
    ),
    ("mobilenet_v2", 300): SSDPreset(
        strides=(8, 16, 32),
        extras=(
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 1, 0),
        ),
        lite_heads=True,
        anchor_sizes=_SIZES_300,
        anchor_ratios=_RATIOS_300,
        anchor_steps=_STEPS_300,
    ),
    ("mobilenet_v2", 512): SSDPreset(
        strides=(16, 32),
        extras=_EXTRAS_512,
        lite_heads=True,
        anchor_sizes=_SIZES_512,
        anchor_ratios=_RATIOS_512,
        anchor_steps=_STEPS_512,
    ),
    # TensorFlow's ssd_mobilenet_v2_coco: from 20% of the input at the finest map to 95% in equal steps.
    ("mobilenet_v2_tensorflow", 300): SSDPreset(
        strides=(16, 32),
        extras=(
            ExtraLayer(256, 512, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(64, 128, 3, 2, 1),
        ),
        separable_extras=True,
        same_padding=True,
        reduced_finest=True,
        anchor_sizes=(60, 105, 150, 195, 240, 285, 300),
        anchor_ratios=(_R3, *[(1, 2, 1 / 2, 3, 0.3333)] * 5),
        anchor_steps=(300 / 19, 30, 60, 100, 150, 300),
    ),
    # torchvision's ssdlite320_mobilenet_v3_large.
    ("mobilenet_v3", 320): SSDPreset(
        strides=(16, 32),
        extras=(
            ExtraLayer(256, 512, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(128, 256, 3, 2, 1),
            ExtraLayer(64, 128, 3, 2, 1),
        ),
        lite_heads=True,
        separable_extras=True,
        anchor_sizes=(64, 112, 160, 208, 256, 304, 320),
        max_anchor_side=320,
        anchor_ratios=(_R5,) * 6,
        anchor_steps=(16, 32, 64, 320 / 3, 160, 320),
    ),
    ("tiny", 128): SSDPreset(
        strides=(8, 16, 32),
        extras=(),
        anchor_sizes=(16, 30, 52, 90),
        anchor_ratios=(_R3, _R3, _R3),
        anchor_steps=(8, 16, 32),
    ),
}


def nearest_preset(family: str, strides: Sequence[int], side: int) -> tuple[int, SSDPreset]:
    """What was published for the nearest size, of the sizes with maps that a backbone has.

    Args:
        family: of the backbone.
        strides: of its maps.
        side: the longer one of the input, in pixels.

    Returns:
        The side that it was published for, and the preset; of a family of which none was published, that by
        rule.

    Raises:
        ValueError: if the backbone has no map to begin with.
    """
    if all(family != of_family for of_family, _ in PRESETS):
        return preset_by_rule(family, strides, side)
    fitting = {
        native: preset
        for (of_family, native), preset in PRESETS.items()
        if of_family == family and set(preset.strides) <= set(strides)
    }
    if not fitting:
        raise ValueError(f"No SSD is published for a {family} with maps of strides {tuple(strides)}.")
    nearest = min(fitting, key=lambda native: abs(native - side))
    return nearest, fitting[nearest]


def preset_by_rule(family: str, strides: Sequence[int], side: int) -> tuple[int, SSDPreset]:
    """The pattern of the published SSDs, for any backbone and size.

    The finest map has stride 8, for inputs nearer to 512 pixels than to 300 stride 16. Extra layers halve the
    last map down to a single cell, the first with 512 channels, the others with 256 (SSD paper, figure 2).
    Anchors have 10% of the input on the finest map, then 20% to 105% in equal steps (section 3.1).

    Args:
        family: of the backbone, for the message.
        strides: of its maps.
        side: the longer one of the input, in pixels.

    Returns:
        The side that the numbers are for, the next multiple of the last stride, and the preset.

    Raises:
        ValueError: if the backbone has no such map.
    """
    finest = 8 if side - 300 < 512 - side else 16
    taps = tuple(stride for stride in strides if stride >= finest)
    if not taps:
        raise ValueError(
            f"SSD for inputs of {side} pixels needs maps of stride {finest} or more, and this {family} has "
            f"those of strides {tuple(strides)}: set model.backbone.strides=[8,16,32]."
        )
    native = math.ceil(side / taps[-1]) * taps[-1]
    cells = [native // stride for stride in taps]
    while cells[-1] > 1:
        cells.append(math.ceil(cells[-1] / 2))
    num_extras, num_maps = len(cells) - len(taps), len(cells)
    extras = [ExtraLayer(256, 512, 3, 2, 1)] + [ExtraLayer(128, 256, 3, 2, 1)] * (num_extras - 1)
    shares = [0.1, *(0.2 + 0.85 * i / max(num_maps - 1, 1) for i in range(num_maps))]
    return native, SSDPreset(
        strides=taps,
        extras=tuple(extras[:num_extras]),
        anchor_sizes=tuple(native * share for share in shares),
        anchor_ratios=tuple(_R5 if 0 < i < num_maps - 2 else _R3 for i in range(num_maps)),
        anchor_steps=tuple(native / count for count in cells),
    )
