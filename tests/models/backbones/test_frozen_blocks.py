"""``frozen_blocks`` of every backbone."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from detection.models.backbones import (
    Backbone,
    MobileNetV2Backbone,
    ResNetBackbone,
    TimmBackbone,
    TinyBackbone,
    VGG16AtrousBackbone,
)

BACKBONES: dict[str, tuple[Callable[[int], Backbone], int]] = {
    "vgg16_atrous": (lambda frozen: VGG16AtrousBackbone(None, frozen_blocks=frozen), 5),
    "resnet18": (lambda frozen: ResNetBackbone(18, None, frozen_blocks=frozen), 5),
    "mobilenet_v2": (lambda frozen: MobileNetV2Backbone(None, frozen_blocks=frozen), 19),
    "timm": (lambda frozen: TimmBackbone("resnet10t", None, frozen_blocks=frozen), 5),
    "tiny": (lambda frozen: TinyBackbone(None, frozen_blocks=frozen), 8),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_first_blocks_are_frozen_and_the_others_are_not(name: str) -> None:
    build, num_blocks = BACKBONES[name]
    backbone = build(2).train()
    blocks = backbone.blocks()
    assert len(blocks) == num_blocks
    for i, block in enumerate(blocks):
        parameters = list(block.parameters())
        assert parameters
        assert all(parameter.requires_grad == (i >= 2) for parameter in parameters)
        norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(norm.training == (i >= 2) for norm in norms)


def test_frozen_statistics_survive_training_steps() -> None:
    backbone = TinyBackbone(None, frozen_blocks=3).train()
    before = [buffer.clone() for buffer in backbone.buffers()]
    backbone(torch.randn(2, 3, 64, 64))
    changed = [not torch.equal(old, new) for old, new in zip(before, backbone.buffers(), strict=True)]
    buffers_per_norm = 3
    assert not any(changed[: 3 * buffers_per_norm])
    assert all(changed[3 * buffers_per_norm :])


def test_tiny_maps_have_their_strides_and_channels() -> None:
    backbone = TinyBackbone(None)
    maps = backbone(torch.zeros(1, 3, 128, 96))
    for x, stride, channels in zip(maps, backbone.strides, backbone.channels, strict=True):
        assert x.shape == (1, channels, 128 // stride, 96 // stride)
