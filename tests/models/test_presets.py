import pytest

from detection.models.presets import PRESETS, SSDPreset


@pytest.mark.parametrize("preset", PRESETS.values(), ids=[f"{family}_{size}" for family, size in PRESETS])
def test_presets_are_consistent(preset: SSDPreset) -> None:
    num_maps = len(preset.strides) + len(preset.extras)
    assert len(preset.anchor_steps) == len(preset.anchor_ratios) == len(preset.anchor_sizes) - 1 == num_maps
    assert list(preset.anchor_sizes) == sorted(preset.anchor_sizes)
    assert preset.anchor_steps[: len(preset.strides)] == pytest.approx(preset.strides, rel=0.07)
    assert all(ratios[0] == 1 for ratios in preset.anchor_ratios)


def test_published_anchor_numbers() -> None:
    vgg_300, vgg_512 = PRESETS["vgg16_atrous", 300], PRESETS["vgg16_atrous", 512]
    assert list(vgg_300.anchor_sizes) == [30, 60, 111, 162, 213, 264, 315]
    assert list(vgg_300.anchor_steps) == [8, 16, 32, 64, 100, 300]
    assert [len(ratios) for ratios in vgg_300.anchor_ratios] == [3, 5, 5, 5, 3, 3]
    assert list(vgg_512.anchor_sizes) == [51.2, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6]
    assert [len(ratios) for ratios in vgg_512.anchor_ratios] == [3, 5, 5, 5, 5, 3, 3]
    assert list(PRESETS["resnet", 512].anchor_sizes) == [51.2, 102.4, 189.4, 276.4, 363.52, 450.6, 492]
    assert list(PRESETS["resnet", 512].anchor_steps) == [16, 32, 64, 128, 256, 512]
