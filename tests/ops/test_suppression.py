"""Suppression in blocks against torchvision's, which judges all boxes at once."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from detection.ops import processor
from detection.ops.proposals import nms_best


def crowded_boxes(count: int, seed: int) -> Tensor:
    """Many overlap a lot, and some are equal."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat((corners, corners + 30 + torch.rand(count, 2, generator=generator) * 20), dim=1)
    boxes[::7] = boxes[0]
    return boxes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 20, 150, 5000])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_equals_torchvision(threshold: float, count: int, seed: int) -> None:
    boxes = crowded_boxes(2700, seed)
    expected = nms(boxes, torch.arange(2700, 0, -1).float(), threshold)
    assert len(expected) > 5
    assert nms_best(boxes, threshold, count).tolist() == expected[:count].tolist()


def test_a_gpu_judges_all_at_once_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = crowded_boxes(2700, seed=0)
    in_blocks = nms_best(boxes, 0.5, 100)
    monkeypatch.setattr(processor, "on_cpu", lambda tensor: False)
    assert torch.equal(nms_best(boxes, 0.5, 100), in_blocks)


@pytest.mark.parametrize("count", [0, 5])
def test_no_boxes(count: int) -> None:
    kept = nms_best(torch.zeros(0, 4), 0.5, count)
    assert kept.tolist() == []
    assert kept.dtype == torch.int64


def test_boxes_without_area_survive_as_in_torchvision() -> None:
    boxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    assert nms_best(boxes, 0.5, 10).tolist() == nms(boxes, torch.tensor([3.0, 2, 1]), 0.5).tolist()
