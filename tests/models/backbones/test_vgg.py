from pathlib import Path

import pytest
import torch
from torch import nn

from detection.models.backbones import VGG16AtrousBackbone, vgg
from detection.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from detection.models.backbones.vgg import L2Norm, linear_to_conv


@pytest.fixture(scope="module")
def backbone() -> VGG16AtrousBackbone:
    return VGG16AtrousBackbone(weights=None)


def test_l2norm_gives_every_cell_the_length_of_the_scale() -> None:
    norm = L2Norm(512)
    assert norm.scale.shape == (512,)
    assert (norm.scale == 20).all()
    out = norm(torch.rand(2, 512, 3, 4) * 1000)
    torch.testing.assert_close(out.norm(dim=1), torch.full((2, 3, 4), 20.0))


def test_l2norm_survives_half_precision_and_zeros() -> None:
    x = torch.full((1, 512, 1, 2), 300.0, dtype=torch.float16)  # the sum of squares is beyond float16
    x[..., 1] = 0
    out = L2Norm(512)(x)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out[0, :, 0, 0].float(), torch.full((512,), 20 / 512**0.5), atol=1e-3, rtol=0)
    assert (out[0, :, 0, 1] == 0).all()


def test_structure_is_that_of_the_paper(backbone: VGG16AtrousBackbone) -> None:
    convs = [m for m in backbone.features if isinstance(m, nn.Conv2d)]
    pools = [m for m in backbone.features if isinstance(m, nn.MaxPool2d)]
    assert [c.out_channels for c in convs] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convs)
    assert [(p.kernel_size, p.stride, p.padding) for p in pools] == [(2, 2, 0)] * 4 + [(3, 1, 1)]
    assert all(p.ceil_mode for p in pools[:4])
    fc6, fc7 = backbone.fc6, backbone.fc7
    assert (fc6.out_channels, fc6.kernel_size, fc6.padding, fc6.dilation) == (1024, (3, 3), (6, 6), (6, 6))
    assert (fc7.out_channels, fc7.kernel_size) == (1024, (1, 1))


def test_maps_at_300_and_at_an_odd_size(backbone: VGG16AtrousBackbone) -> None:
    with torch.no_grad():
        for size, expected in (((300, 300), ((38, 38), (19, 19))), ((65, 90), ((9, 12), (5, 6)))):
            maps = backbone(torch.randn(1, 3, *size))
            assert tuple(m.shape[2:] for m in maps) == expected
            assert tuple(m.shape[1] for m in maps) == backbone.channels == (512, 1024)
    assert backbone.strides == (8, 16)


def test_only_the_tap_is_normalised(backbone: VGG16AtrousBackbone) -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone(x)
        backbone.norm4.scale.mul_(2)
        after = backbone(x)
        backbone.norm4.scale.div_(2)
    torch.testing.assert_close(after[0], 2 * before[0])
    torch.testing.assert_close(after[1], before[1])


def test_without_weights_it_expects_the_published_files_scale(backbone: VGG16AtrousBackbone) -> None:
    # torchvision writes IMAGENET1K_FEATURES's numbers on the scale 0..1.
    published = torch.tensor([0.48235, 0.45882, 0.40784]) * 255
    torch.testing.assert_close(torch.tensor(backbone.mean), published, atol=2e-3, rtol=0)
    assert list(backbone.std) == [1, 1, 1]


def test_linear_to_conv_keeps_every_nth_of_each_dimension() -> None:
    weight, bias = torch.randn(8, 2 * 7 * 7), torch.randn(8)
    kernel, kernel_bias = linear_to_conv(weight, bias, (8, 2, 7, 7), (4, 1, 3, 3))
    assert kernel.shape == (2, 2, 3, 3)
    for o in range(2):
        assert kernel_bias[o] == bias[4 * o]
        for i in range(2):
            for row in range(3):
                for col in range(3):
                    assert kernel[o, i, row, col] == weight[4 * o, i * 49 + 3 * row * 7 + 3 * col]


def test_linear_to_conv_can_thin_out_the_inputs_too() -> None:
    weight, bias = torch.arange(64.0).reshape(8, 8), torch.arange(8.0)
    kernel, kernel_bias = linear_to_conv(weight, bias, (8, 8, 1, 1), (4, 4, 1, 1))
    assert kernel[..., 0, 0].tolist() == [[0, 4], [32, 36]]
    assert kernel_bias.tolist() == [0, 4]


def features_state() -> dict[str, torch.Tensor]:
    return {f"features.{k}": v for k, v in vgg._vgg16_features().state_dict().items()}


def expanded(*size: int) -> torch.Tensor:
    """A tensor of any size whose storage is one random number: the real classifier has half a gigabyte."""
    return torch.randn(1).expand(*size)


def test_a_file_without_classifier_fills_the_features_only(tmp_path: Path) -> None:
    state = features_state()
    torch.save(state, tmp_path / "vgg.pth")
    backbone = VGG16AtrousBackbone(weights=str(tmp_path / "vgg.pth"))
    torch.testing.assert_close(backbone.features[28].weight, state["features.28.weight"])
    assert list(backbone.std) == [1, 1, 1]
    assert backbone.fc6.weight.std() > 0


@pytest.mark.parametrize("finite", [True, False])
def test_a_usable_classifier_is_subsampled_and_sets_mean_and_std(
    finite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = features_state() | {
        "classifier.0.weight": expanded(4096, 25088),
        "classifier.0.bias": torch.randn(4096),
        "classifier.3.weight": expanded(4096, 4096),
        "classifier.3.bias": torch.randn(4096) if finite else torch.full((4096,), torch.nan),
    }
    monkeypatch.setattr(vgg, "read_weights", lambda *args: state)
    backbone = VGG16AtrousBackbone(weights="imagenet")
    assert torch.equal(backbone.fc6.bias, state["classifier.0.bias"][::4]) == finite  # type: ignore[arg-type]
    assert torch.equal(backbone.fc7.bias, state["classifier.3.bias"][::4]) == finite  # type: ignore[arg-type]
    assert (bool((backbone.fc7.weight == state["classifier.3.weight"][0, 0]).all())) == finite
    assert (backbone.mean, backbone.std) == (
        (IMAGENET_MEAN, IMAGENET_STD) if finite else ((123, 117, 104), (1, 1, 1))
    )
    assert all(p.isfinite().all() for p in backbone.parameters())
