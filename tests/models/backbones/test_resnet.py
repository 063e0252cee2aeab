from pathlib import Path

import pytest
import torch
from torchvision import models

from detection.models.backbones import ResNetBackbone
from detection.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD


@pytest.mark.parametrize(
    ("depth", "channels"), [(18, (256, 512)), (34, (256, 512)), (50, (1024, 2048)), (101, (1024, 2048))]
)
def test_layer3_and_layer4_are_returned(depth: int, channels: tuple[int, int]) -> None:
    backbone = ResNetBackbone(depth, weights=None)
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, 64, 97))
    assert backbone.channels == channels
    assert backbone.strides == (16, 32)
    assert [tuple(m.shape) for m in maps] == [(2, channels[0], 4, 7), (2, channels[1], 2, 4)]
    assert (backbone.mean, backbone.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_blocks_stride_on_the_3x3() -> None:
    block = ResNetBackbone(50, weights=None).layer3[0]
    assert block.conv1.stride == (1, 1)
    assert block.conv2.stride == (2, 2)
    assert block.conv2.kernel_size == (3, 3)


@pytest.mark.parametrize("depth", [18, 34])
def test_the_300_variant_keeps_the_resolution_of_layer3(depth: int) -> None:
    backbone = ResNetBackbone(depth, weights=None, strides=[8, 16])
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 300, 300))
    assert backbone.strides == (8, 16)
    assert [tuple(m.shape[1:]) for m in maps] == [(128, 38, 38), (512, 19, 19)]
    assert backbone.channels == (128, 512)


@pytest.mark.parametrize(("depth", "channels"), [(34, (64, 128, 256, 512)), (50, (256, 512, 1024, 2048))])
def test_a_pyramid_takes_all_four_layers(depth: int, channels: tuple[int, ...]) -> None:
    backbone = ResNetBackbone(depth, weights=None, strides=[4, 8, 16, 32]).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 97))
        torch.testing.assert_close(backbone.layer2(maps[0]), maps[1])
        torch.testing.assert_close(backbone.layer3(maps[1]), maps[2])
        torch.testing.assert_close(backbone.layer4(maps[2]), maps[3])
    assert backbone.channels == channels
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 25), (8, 13), (4, 7), (2, 4)]
    assert [m.shape[1] for m in maps] == list(channels)


def test_layer4_can_be_taken_once_and_the_rest_works_on() -> None:
    backbone = ResNetBackbone(18, weights=None, strides=(16,), freeze_batchnorm=True, frozen_blocks=2)
    layer4, channels = backbone.take_last_stage()
    assert not any(key.startswith("layer4") for key in backbone.state_dict())
    (features,) = backbone.train()(torch.randn(1, 3, 64, 96))
    assert features.shape == (1, *backbone.channels, 4, 6)
    assert layer4(features).shape == (1, channels, 2, 3)
    assert channels == 512
    with pytest.raises(ValueError, match="a backbone of its own"):
        backbone.take_last_stage()


def test_layer4_that_gives_a_map_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match=r"got strides \(16, 32\)"):
        ResNetBackbone(18, weights=None).take_last_stage()


def test_a_classifiers_file_gives_the_classifiers_features(tmp_path: Path) -> None:
    classifier = models.resnet18(weights=None).eval()
    for buffer in classifier.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    torch.save(classifier.state_dict(), tmp_path / "resnet18.pth")
    backbone = ResNetBackbone(18, weights=str(tmp_path / "resnet18.pth")).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pooled = backbone(image)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(classifier.fc(pooled), classifier(image))


def test_a_file_of_another_depth_is_refused(tmp_path: Path) -> None:
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"does not fit this backbone.*layer1\.2\.conv1\.weight"):
        ResNetBackbone(34, weights=str(tmp_path / "resnet18.pth"))


def test_frozen_batchnorm_stays_frozen_in_training_mode() -> None:
    backbone = ResNetBackbone(18, weights=None, freeze_batchnorm=True)
    before = backbone.bn1.running_mean.clone()
    backbone.train()(torch.randn(2, 3, 64, 64))
    assert torch.equal(backbone.bn1.running_mean, before)
    trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trainable
    assert not any("bn" in name or "downsample.1" in name for name in trainable)


def test_batchnorm_trains_by_default() -> None:
    backbone = ResNetBackbone(18, weights=None)
    before = backbone.bn1.running_mean.clone()
    backbone(torch.randn(2, 3, 64, 64))
    assert not torch.equal(backbone.bn1.running_mean, before)
    assert all(p.requires_grad for p in backbone.parameters())


def test_an_unknown_depth_or_strides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no ResNet of depth 20; choose from \[18, 34, 50, 101\]"):
        ResNetBackbone(20, weights=None)
    with pytest.raises(ValueError, match=r"ResNet-50 has no maps of strides \(8, 16\)"):
        ResNetBackbone(50, weights=None, strides=(8, 16))
