from pathlib import Path

import pytest
import torch
from torchvision import models

from detection.models.backbones import MobileNetV2Backbone


def test_maps_of_300_and_of_an_odd_size() -> None:
    backbone = MobileNetV2Backbone(weights=None).eval()
    with torch.no_grad():
        for size, expected in (
            ((300, 300), [(38, 38), (19, 19), (10, 10)]),
            ((65, 97), [(9, 13), (5, 7), (3, 4)]),
        ):
            maps = backbone(torch.randn(1, 3, *size))
            assert [tuple(m.shape[2:]) for m in maps] == expected
            assert tuple(m.shape[1] for m in maps) == backbone.channels == (192, 576, 1280)
    assert backbone.strides == (8, 16, 32)


@pytest.mark.parametrize("layout", ["classifier", "features", "wrapped"])
def test_a_file_gives_torchvisions_features(layout: str, tmp_path: Path) -> None:
    classifier = models.mobilenet_v2(weights=None).eval()
    states = {
        "classifier": classifier.state_dict(),
        "features": classifier.features.state_dict(),
        "wrapped": {"state_dict": {f"module.{k}": v for k, v in classifier.state_dict().items()}},
    }
    torch.save(states[layout], tmp_path / "mobilenet_v2.pth")
    backbone = MobileNetV2Backbone(weights=str(tmp_path / "mobilenet_v2.pth")).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        stride_8, stride_16, last = backbone(image)
        torch.testing.assert_close(last, classifier.features(image))
        torch.testing.assert_close(stride_8, classifier.features[7].conv[0](classifier.features[:7](image)))
        torch.testing.assert_close(
            stride_16, classifier.features[14].conv[0](classifier.features[:14](image))
        )


def test_a_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not fit this backbone.*0\.0\.weight"):
        MobileNetV2Backbone(weights=str(tmp_path / "other.pth"))


def test_frozen_batchnorm_does_not_train() -> None:
    backbone = MobileNetV2Backbone(weights=None, freeze_batchnorm=True)
    assert not any(p.requires_grad for p in backbone.features[0][1].parameters())
    assert backbone.features[0][0].weight.requires_grad
    backbone.train()
    assert not backbone.features[0][1].training


def test_any_of_the_four_strides_can_be_had() -> None:
    backbone = MobileNetV2Backbone(weights=None, strides=[4, 8, 16, 32]).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = backbone(image)
        torch.testing.assert_close(maps[0], backbone.features[4].conv[0](backbone.features[:4](image)))
        some = MobileNetV2Backbone(weights=None, strides=(4, 32))
        assert [m.shape[1] for m in some(image)] == [144, 1280]
    assert [tuple(m.shape[1:]) for m in maps] == [(144, 16, 24), (192, 8, 12), (576, 4, 6), (1280, 2, 3)]
    assert backbone.channels == (144, 192, 576, 1280)


@pytest.mark.parametrize("strides", [(), (2, 4), (16, 8), (8, 8)])
def test_other_strides_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="MobileNetV2 has maps of strides 4, 8, 16 and 32"):
        MobileNetV2Backbone(weights=None, strides=strides)
