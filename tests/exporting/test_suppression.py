"""Suppression of fixed shape keeps what torchvision's keeps, in torch and in ONNX."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torchvision.ops import nms

from detection.exporting.build import Program
from detection.exporting.programs import suppress, suppress_operator
from detection.exporting.runners import open_exported
from detection.exporting.writers import write_onnx


def some_boxes(*shape: int, seed: int = 0) -> Tensor:
    corners = torch.rand(*shape, 2, generator=torch.Generator().manual_seed(seed)) * 60
    sides = torch.rand(*shape, 2, generator=torch.Generator().manual_seed(seed + 1)) * 40 + 1
    return torch.cat((corners, corners + sides), dim=-1)


def some_scores(*shape: int, seed: int = 0) -> Tensor:
    # A hundredth apart, so many are equal.
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(seed)) / 100


def naive(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Set after set."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for i in range(len(scores)):
        rows = (scores[i] > score_threshold).nonzero().squeeze(1)
        kept[i, rows[nms(boxes[i, rows], scores[i, rows], iou_threshold)]] = True
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_every_set_is_suppressed_by_itself(seed: int) -> None:
    boxes, scores = some_boxes(4, 50, seed=seed), some_scores(4, 50, seed=seed)
    kept = suppress(boxes, scores, 0.45, 0.3, limit=50)
    assert kept.equal(naive(boxes, scores, 0.45, 0.3))
    assert kept.any()
    assert not kept[scores <= 0.3].any()


def test_without_candidates_nothing_is_kept() -> None:
    assert not suppress(some_boxes(2, 5), torch.zeros(2, 5), 0.5, 0.1, limit=5).any()


class Suppression(nn.Module):
    def __init__(self, iou_threshold: float, score_threshold: float) -> None:
        super().__init__()
        self.thresholds = (iou_threshold, score_threshold)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        kept = suppress_operator(images[..., :4], images[..., 4], *self.thresholds, images.shape[1])
        return {"kept": kept.float()}


def in_onnx(folder: Path, boxes: Tensor, scores: Tensor, iou: float, score: float) -> Tensor:
    rows = torch.cat((boxes, scores.unsqueeze(-1)), dim=-1)
    example = rows[:1].expand(2, -1, -1).clone()
    shapes = {"images": {0: Dim("sets", min=1, max=64)}}
    write_onnx(Program(Suppression(iou, score), example, shapes, ("kept",)), folder / "nms.onnx", {})
    kept = open_exported(folder / "nms.onnx")(rows.numpy())["kept"]
    return torch.from_numpy(kept).bool()


def test_the_onnx_operator_keeps_the_same(tmp_path: Path) -> None:
    boxes, scores = some_boxes(5, 40), some_scores(5, 40)
    scores[3] = 0  # a set without candidates
    assert in_onnx(tmp_path, boxes, scores, 0.45, 0.3).equal(naive(boxes, scores, 0.45, 0.3))


def test_in_onnx_an_overlap_of_exactly_the_threshold_goes_as_in_torchvision(tmp_path: Path) -> None:
    # 6 / 20, which as float32 is more than 0.3.
    boxes, scores = torch.tensor([[[0.0, 0, 13, 1], [7, 0, 20, 1]]]), torch.tensor([[0.9, 0.8]])
    assert naive(boxes, scores, 0.3, 0.0).tolist() == [[True, False]]
    assert in_onnx(tmp_path, boxes, scores, 0.3, 0.0).tolist() == [[True, False]]
