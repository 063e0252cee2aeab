from collections.abc import Callable

import pytest
import torch

from detection.models.backbones import Backbone, MobileNetV2Backbone, ResNetBackbone, TinyBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.roi_head import DenseBody, Layer4Body


def c4_resnet50() -> FasterRCNN:
    backbone = ResNetBackbone(50, None, (16,), freeze_batchnorm=True, frozen_blocks=2)
    return build_faster_rcnn_c4(backbone, 20)


def trainable(model: FasterRCNN) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


# The published numbers of the network on one map


def test_the_c4_network_has_the_published_layers() -> None:
    model = c4_resnet50()
    backbone = model.backbone
    assert isinstance(backbone, ResNetBackbone)
    assert (backbone.conv1.kernel_size, backbone.conv1.stride) == ((7, 7), (2, 2))
    assert [len(x) for x in (backbone.layer1, backbone.layer2, backbone.layer3)] == [3, 4, 6]
    assert isinstance(model.roi_head.body, Layer4Body)
    assert len(list(model.roi_head.body.layer4.children())) == 3
    assert backbone.bn1.eps == 1e-5
    assert backbone.channels == (1024,)
    assert model.roi_head.body.channels == 2048
    assert (model.rpn.conv.in_channels, model.rpn.conv.out_channels) == (1024, 1024)
    assert (model.rpn.score.out_channels, model.rpn.box.out_channels) == (15, 60)
    assert model.roi_head.pool.output_size == (14, 14)
    assert model.roi_head.class_predictor.out_features == 21
    assert model.roi_head.box_predictor.out_features == 80
    assert (model.rpn.pre_nms_top, model.rpn.post_nms_top) == ((12000, 6000), (2000, 300))
    assert (model.rpn.nms_threshold, model.rpn.min_size) == (0.7, 16)


@pytest.mark.parametrize("training", [True, False])
def test_52_tensors_of_32954544_numbers_train(training: bool) -> None:
    model = c4_resnet50().train(training)
    assert len(trainable(model)) == 52
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 32_954_544
    assert not any("bn" in name or "downsample.1" in name for name in trainable(model))
    assert not any(name.startswith(("backbone.conv1", "backbone.layer1")) for name in trainable(model))


@pytest.mark.parametrize(
    ("size", "cells"),
    [
        ((600, 800), (38, 50)),
        ((600, 901), (38, 57)),
        ((562, 1000), (36, 63)),
        ((600, 904), (38, 57)),
        ((600, 888), (38, 56)),
        ((600, 1000), (38, 63)),
    ],
)
def test_the_published_maps(size: tuple[int, int], cells: tuple[int, int]) -> None:
    with torch.device("meta"):  # shapes only
        model = c4_resnet50()
        batch, _ = model.prepare([torch.empty(3, *size, dtype=torch.uint8)])
        (features,) = model.features(batch)
        assert features.shape == (1, 1024, *cells)
        assert model.rpn([features]).logits.shape == (1, cells[0] * cells[1] * 15)


@pytest.mark.parametrize(("depth", "channels"), [(18, 256), (34, 256), (101, 1024)])
def test_other_resnets_work_on_one_map(depth: int, channels: int) -> None:
    model = build_faster_rcnn_c4(ResNetBackbone(depth, None, (16,)), 3, rpn_channels=8)
    features = [torch.zeros(1, channels, 5, 6)]
    with torch.no_grad():
        output = model.roi_head(features, [torch.zeros(7, 4)])
        assert model.rpn(features).logits.shape == (1, 450)
    assert output.logits.shape == (7, 4)
    assert output.deltas.shape == (7, 3, 4)


# Pyramids


def test_the_pyramid_network_has_torchvisions_layers() -> None:
    model = build_faster_rcnn_fpn(ResNetBackbone(50, None, (4, 8, 16, 32), True, 2), 20)
    with torch.no_grad():
        features = model.features(torch.zeros(1, 3, 64, 96))
    maps = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(x.shape[1:]) for x in features] == [(256, *cells) for cells in maps]
    assert model.rpn.strides == (4, 8, 16, 32, 64)
    assert model.rpn.conv.out_channels == 256
    assert (model.rpn.score.out_channels, model.rpn.box.out_channels) == (3, 12)
    assert model.roi_head.strides == (4, 8, 16, 32)
    assert isinstance(model.roi_head.body, DenseBody)
    assert model.roi_head.body[1].weight.shape == (1024, 256 * 49)
    assert [round(float(a[1, 2] - a[1, 0])) for a in model.rpn.base_anchors] == [32, 64, 128, 256, 512]


@pytest.mark.parametrize("depth", [18, 34, 101])
def test_other_resnets_have_pyramids(depth: int) -> None:
    with torch.device("meta"):
        model = build_faster_rcnn_fpn(ResNetBackbone(depth, None, (4, 8, 16, 32)), 2, channels=8)
        features = model.features(torch.empty(1, 3, 64, 96))
    cells = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(x.shape[1:]) for x in features] == [(8, *size) for size in cells]


@pytest.mark.parametrize(
    "make", [lambda: MobileNetV2Backbone(None, freeze_batchnorm=True, frozen_blocks=4), TinyBackbone]
)
def test_a_pyramid_may_start_at_stride_8(make: Callable[[], Backbone]) -> None:
    model = build_faster_rcnn_fpn(
        make(), 20, channels=32, anchor_sizes=(32, 64, 128, 256), post_nms_top=(500, 300)
    )
    with torch.no_grad():
        output = model.eval()([torch.zeros(3, 300, 400, dtype=torch.uint8)])
    assert model.rpn.strides == (8, 16, 32, 64)
    assert output.rpn.level_sizes == [40 * 52 * 3, 20 * 26 * 3, 10 * 13 * 3, 5 * 7 * 3]
    assert output.roi.logits.shape == (len(output.proposals[0]), 21)
    assert len(output.proposals[0]) <= 300


def test_numbers_of_a_preset_can_be_replaced() -> None:
    model = build_faster_rcnn_fpn(
        TinyBackbone(), 2, anchor_ratios=[1], anchor_sizes=[8, 16, 32, 64], post_nms_top=[7, 5]
    )
    assert [a.tolist() for a in model.rpn.base_anchors] == [[[-s, -s, s, s]] for s in (4, 8, 16, 32)]
    assert len(model.eval()([torch.zeros(3, 96, 96)]).proposals[0]) <= 5


# Bad input


def test_a_backbone_without_a_free_layer4_is_refused() -> None:
    with pytest.raises(ValueError, match="whose last stage can be taken, not TinyBackbone"):
        build_faster_rcnn_c4(TinyBackbone(), 2)
    with pytest.raises(ValueError, match=r"got strides \(16, 32\)\. Set model\.backbone\.strides=\[16\]"):
        build_faster_rcnn_c4(ResNetBackbone(18, None), 2)
    backbone = ResNetBackbone(18, None, (16,))
    build_faster_rcnn_c4(backbone, 2)
    with pytest.raises(ValueError, match="a backbone of its own"):
        build_faster_rcnn_c4(backbone, 2)


def test_anchor_sizes_that_do_not_fit_the_pyramid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 16, 32, 64\).*not \[32, 64\]: set .*=\[64,128,256,512\]"):
        build_faster_rcnn_fpn(TinyBackbone(), 2, anchor_sizes=(32, 64))
    build_faster_rcnn_fpn(TinyBackbone(), 2, anchor_sizes=(64, 128, 256, 512))  # which is what is said
    backbone = MobileNetV2Backbone(None, strides=(4, 16, 32))
    with pytest.raises(ValueError, match="strides double"):
        build_faster_rcnn_fpn(backbone, 2, anchor_sizes=(8, 16, 32, 64))


def test_predictors_of_a_pyramid_start_as_pytorchs_layers_do() -> None:
    torch.manual_seed(0)
    backbone = ResNetBackbone(18, None, strides=(4, 8, 16, 32))
    head = build_faster_rcnn_fpn(backbone, num_classes=20).roi_head
    for layer in (head.class_predictor, head.box_predictor):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert 0 < layer.bias.abs().max().item() <= bound
