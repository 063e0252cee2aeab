"""The top-k whose ties are settled, against a stable sort."""

import pytest
import torch

from detection.ops.topk import stable_topk


@pytest.mark.parametrize("seed", range(50))
def test_equals_a_stable_sort_when_values_repeat(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    num_levels = int(torch.randint(1, 12, (), generator=generator))
    values = torch.randint(0, num_levels, (3, 4, 40), generator=generator) / 7
    k = int(torch.randint(0, 41, (), generator=generator))
    expected_values, expected_indices = values.sort(dim=-1, descending=True, stable=True)
    top, indices = stable_topk(values, k)
    assert torch.equal(top, expected_values[..., :k])
    assert torch.equal(indices, expected_indices[..., :k])


def test_extreme_values() -> None:
    values = torch.tensor([0.0, 1e-45, 3e38, 1.0, -0.0, torch.inf, 1e-38, -1.0])
    assert stable_topk(values, 8)[1].tolist() == [5, 2, 3, 6, 1, 0, 4, 7]


def test_half_precision() -> None:
    top, indices = stable_topk(torch.tensor([0.5, 2.0, 0.5], dtype=torch.float16), 2)
    assert top.dtype == torch.float32
    assert top.tolist() == [2.0, 0.5]
    assert indices.tolist() == [1, 0]
