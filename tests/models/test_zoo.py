from pathlib import Path
from typing import Any

import pytest
import torch

from detection.models.backbones import MobileNetV2Backbone, ResNetBackbone, VGG16AtrousBackbone
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
    assert len(MODEL_NAMES) == 16
    size = int(name.split("_")[1])
    with torch.device("meta"):  # shapes only
        for model, channels in (
            (get_model(f"{name}_voc", pretrained_backbone=False), 21),
            (get_model(f"{name}_custom", classes=["cat", "dog"], pretrained_backbone=False), 3),
        ):
            assert type(model.backbone) is backbone
            output = model(torch.empty(1, 3, size, size, dtype=torch.uint8))
            assert output.logits.shape == (1, num_anchors, channels)


def test_the_name_is_taken_in_any_case() -> None:
    model = get_model("SSD_512_ResNet18_V1_VOC", pretrained_backbone=False)
    assert model.num_classes == 20


def test_num_classes_and_overrides_are_passed_on() -> None:
    sizes = (20, 60, 111, 162, 213, 264, 315)
    model = get_model(
        "ssd_300_mobilenet1.0_voc", num_classes=7, pretrained_backbone=False, anchor_sizes=sizes
    )
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
