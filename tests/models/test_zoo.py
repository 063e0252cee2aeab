from pathlib import Path
from typing import Any

import pytest
import torch

from detection.models.backbones import MobileNetV2Backbone, ResNetBackbone, VGG16AtrousBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.models.zoo import MODEL_NAMES, get_model


@pytest.mark.parametrize(
    ("name", "backbone", "num_anchors"),
    [
        ("ssd_300_vgg16_atrous", VGG16AtrousBackbone, 8732),
        ("ssd_512_vgg16_atrous", VGG16AtrousBackbone, 24564),
        ("ssd_512_resnet18_v1", ResNetBackbone, 6132),
        ("ssd_512_resnet50_v1", ResNetBackbone, 6132),
        ("ssd_512_resnet101_v2", ResNetBackbone, 6132),
        ("ssd_300_resnet34_v1b", ResNetBackbone, 8732),
        ("ssd_300_mobilenet1.0", MobileNetV2Backbone, 8732),
        ("ssd_512_mobilenet1.0", MobileNetV2Backbone, 6132),
    ],
)
def test_every_name_builds_its_network(name: str, backbone: type, num_anchors: int) -> None:
    assert f"{name}_custom" in MODEL_NAMES
    assert len(MODEL_NAMES) == 34
    size = int(name.split("_")[1])
    with torch.device("meta"):  # shapes only
        for model, channels in (
            (get_model(f"{name}_voc", pretrained_backbone=False), 21),
            (get_model(f"{name}_custom", classes=["cat", "dog"], pretrained_backbone=False), 3),
        ):
            assert isinstance(model, SSD)
            assert type(model.backbone) is backbone
            output = model(torch.empty(1, 3, size, size, dtype=torch.uint8))
            assert output.logits.shape == (1, num_anchors, channels)


@pytest.mark.parametrize(
    ("name", "backbone", "strides", "num_trainable"),
    [
        ("faster_rcnn_resnet50_v1b", ResNetBackbone, (16,), 52),
        ("faster_rcnn_resnet101_v1d", ResNetBackbone, (16,), 52 + 17 * 3),
        ("faster_rcnn_fpn_resnet50_v1b", ResNetBackbone, (4, 8, 16, 32), 42 + 16 + 6 + 4 + 4),
        ("faster_rcnn_fpn_mobilenet_v2", MobileNetV2Backbone, (8, 16, 32), 43 + 12 + 6 + 4 + 4),
    ],
)
def test_every_faster_rcnn_builds_with_frozen_batch_norm(
    name: str, backbone: type, strides: tuple[int, ...], num_trainable: int
) -> None:
    for model, num_classes in (
        (get_model(f"{name}_voc", pretrained_backbone=False), 20),
        (get_model(f"{name}_custom", classes=["cat", "dog"], pretrained_backbone=False), 2),
    ):
        assert isinstance(model, FasterRCNN)
        assert type(model.backbone) is backbone
        assert model.backbone.strides == strides
        assert model.num_classes == num_classes
        assert sum(p.requires_grad for p in model.parameters()) == num_trainable
        assert not any(m.training for m in model.train().modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_numbers_of_a_faster_rcnn_can_be_replaced() -> None:
    model = get_model(
        "faster_rcnn_fpn_mobilenet_v2_voc", pretrained_backbone=False, channels=16, anchor_ratios=[1]
    )
    assert isinstance(model, FasterRCNN)
    assert (model.rpn.conv.out_channels, model.rpn.score.out_channels) == (16, 1)


def test_the_name_is_taken_in_any_case() -> None:
    model = get_model("SSD_512_ResNet18_V1_VOC", pretrained_backbone=False)
    assert model.num_classes == 20


def test_num_classes_and_overrides_are_passed_on() -> None:
    sizes = (20, 60, 111, 162, 213, 264, 315)
    model = get_model(
        "ssd_300_mobilenet1.0_voc", num_classes=7, pretrained_backbone=False, anchor_sizes=sizes
    )
    assert isinstance(model, SSD)
    assert model.num_classes == 7
    assert tuple(model.anchor_sizes) == sizes
    with pytest.raises(TypeError, match="anchor_size'"):
        get_model("ssd_300_mobilenet1.0_voc", pretrained_backbone=False, anchor_size=sizes)


def test_backbone_weights_come_from_a_file_when_a_path_is_given(tmp_path: Path) -> None:
    source = MobileNetV2Backbone(weights=None)
    torch.save(source.state_dict(), tmp_path / "mobilenet.pth")
    model = get_model("ssd_300_mobilenet1.0_voc", pretrained_backbone=str(tmp_path / "mobilenet.pth"))
    for ours, theirs in zip(model.backbone.parameters(), source.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_backbone_weights_are_downloaded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    state = MobileNetV2Backbone(weights=None).state_dict()

    def download(url: str, **kwargs: Any) -> dict[str, torch.Tensor]:
        asked.append(url)
        assert kwargs["weights_only"] is True
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    get_model("ssd_300_mobilenet1.0_voc")
    assert asked == ["https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="Did you mean 'ssd_300_vgg16_atrous_voc'") as caught:
        get_model("ssd_300_vgg16_voc")
    assert all(name in str(caught.value) for name in MODEL_NAMES)
    with pytest.raises(ValueError, match=r"There is no model 'yolo'\. The models are"):
        get_model("yolo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one class"),
        ({"classes": []}, "at least one class"),
        ({"classes": ["cat", "cat"]}, "distinct names"),
        ({"classes": "cat"}, "must be a list"),
        ({"classes": ["cat", "dog"], "num_classes": 3}, "agrees with num_classes"),
    ],
)
def test_bad_classes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_model("ssd_300_mobilenet1.0_custom", pretrained_backbone=False, **arguments)
