import pytest

from detection.models.presets import PRESETS, SSDPreset, preset_by_rule


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


@pytest.mark.parametrize("side", [32, 96, 128, 300, 405, 406, 512, 1024, 4096])
def test_presets_by_rule_are_consistent_and_end_at_a_cell(side: int) -> None:
    native, preset = preset_by_rule("any", (4, 8, 16, 32), side)
    test_presets_are_consistent(preset)
    assert side <= native < side + 32
    assert preset.strides == ((8, 16, 32) if side < 406 else (16, 32))
    assert preset.anchor_steps[-1] == native
    assert preset.anchor_sizes[:2] == pytest.approx((0.1 * native, 0.2 * native))
    assert preset.anchor_sizes[-1] == pytest.approx(1.05 * native)


def test_the_rule_gives_what_is_published_for_512_pixels() -> None:
    (_, preset), published = preset_by_rule("any", (8, 16, 32), 512), PRESETS["resnet", 512]
    assert preset.strides == published.strides
    assert preset.anchor_steps == published.anchor_steps
    assert preset.anchor_ratios == published.anchor_ratios
    assert preset.anchor_sizes[:6] == pytest.approx(published.anchor_sizes[:6], abs=0.2)


def test_the_rule_needs_a_map_to_begin_with() -> None:
    with pytest.raises(ValueError, match=r"needs maps of stride 16 or more.* set model\.backbone\.strides="):
        preset_by_rule("any", (4, 8), 512)
