from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from detection.ops import processor
from detection.ops.roi_align import RegionPool

STRIDES = (4, 8, 16)
BATCH, CHANNELS = 2, 5


def maps(
    dtype: torch.dtype = torch.float32, layout: torch.memory_format = torch.channels_last
) -> list[Tensor]:
    torch.manual_seed(0)
    made = [torch.randn(BATCH, CHANNELS, 96 // stride, 128 // stride).to(dtype) for stride in STRIDES]
    return [x.to(memory_format=layout).requires_grad_() for x in made]


def regions() -> list[Tensor]:
    """Of all sizes, and some that touch or cross the border, are empty, or as large as the image."""
    torch.manual_seed(1)
    centres = torch.rand(60, 2) * torch.tensor([128.0, 96.0])
    sides = torch.exp(torch.rand(60, 2) * 4)
    drawn = torch.cat((centres - sides / 2, centres + sides / 2), dim=1)
    odd = torch.tensor(
        [
            [0.0, 0.0, 128.0, 96.0],
            [-40.0, -30.0, 20.0, 10.0],
            [100.0, 80.0, 190.0, 150.0],
            [50.0, 50.0, 50.0, 50.0],
            [127.9, 95.9, 128.0, 96.0],
            [300.0, 300.0, 340.0, 330.0],
        ]
    )
    return [torch.cat((drawn, odd)), odd]


def theirs(features: Sequence[Tensor], pooled_size: int, strides: Sequence[int]) -> Tensor:
    pool = MultiScaleRoIAlign([str(i) for i in range(len(strides))], pooled_size, 2, canonical_scale=56)
    named = {str(i): x for i, x in enumerate(features)}
    found: Tensor = pool(named, regions(), [(96, 128)] * BATCH)
    return found


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("first", "pooled_size"), [(0, 7), (2, 14)])
def test_both_ways_give_torchvisions_values_and_gradients(
    first: int, pooled_size: int, layout: torch.memory_format
) -> None:
    strides = STRIDES[first:]
    pool = RegionPool(strides, pooled_size, canonical_size=56)
    features = maps(layout=layout)[first:]
    expected = theirs(features, pooled_size, strides)
    wanted = torch.randn(expected.shape)
    expected_gradients = torch.autograd.grad(expected, features, wanted)
    assert pool(features, regions()).equal(expected)  # float32 with gradients: to the last digit

    found = pool.sum_corners(features, regions())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(found, features, wanted)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-4, atol=1e-4)


def test_maps_in_half_precision_are_summed_in_float32() -> None:
    pool, features = RegionPool(STRIDES, 7, canonical_size=56), maps(torch.bfloat16)
    expected = theirs([x.float() for x in features], 7, STRIDES)
    found = pool(features, regions())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    wanted = torch.randn(expected.shape)
    torch.testing.assert_close(
        torch.autograd.grad(found, features, wanted),
        torch.autograd.grad(expected, features, wanted),
        rtol=0.01,
        atol=0.01,
    )


def test_a_cpu_sums_corners_where_no_digit_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = RegionPool(STRIDES, 7, canonical_size=56)
    ways: list[str] = []
    monkeypatch.setattr(pool, "sum_corners", lambda features, regions: ways.append("corners"))
    pool(maps(torch.bfloat16), regions())
    with torch.inference_mode():
        pool(maps(), regions())
    assert ways == ["corners", "corners"]
    pool(maps(), regions())
    monkeypatch.setattr(processor, "on_cpu", lambda tensor: False)
    pool(maps(torch.bfloat16), regions())
    assert len(ways) == 2


def test_without_regions_nothing_is_pooled_and_gradients_are_zero() -> None:
    pool, features = RegionPool(STRIDES, 7, canonical_size=56), maps(torch.bfloat16)
    found = pool(features, [torch.zeros(0, 4)] * BATCH)
    assert found.shape == (0, CHANNELS, 7, 7)
    assert all((gradient == 0).all() for gradient in torch.autograd.grad(found.sum(), features))
