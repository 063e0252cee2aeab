"""Boxes against torchvision and hand-computed values."""

import pytest
import torch
from torchvision.ops import box_iou, clip_boxes_to_image

from detection.ops.boxes import clip_boxes, pairwise_iou, scale_boxes


def random_boxes(*shape: int) -> torch.Tensor:
    corner = torch.rand(*shape, 2) * 200
    return torch.cat((corner, corner + torch.rand(*shape, 2) * 100), dim=-1)


def test_clip_boxes_equals_torchvision() -> None:
    torch.manual_seed(0)
    boxes = random_boxes(3, 50) * 2 - 100
    assert torch.equal(clip_boxes(boxes, (150, 250)), clip_boxes_to_image(boxes, (150, 250)))


def test_clip_boxes_uses_height_for_y_and_width_for_x() -> None:
    boxes = torch.tensor([[-5.0, -6.0, 500.0, 600.0]])
    assert clip_boxes(boxes, (30, 40)).tolist() == [[0, 0, 40, 30]]


def test_scale_boxes_maps_x_by_width_and_y_by_height() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 40.0]])
    assert scale_boxes(boxes, (100, 200), (50, 600)).tolist() == [[30, 10, 90, 20]]


def test_scale_boxes_there_and_back_is_the_identity() -> None:
    torch.manual_seed(0)
    boxes = random_boxes(2, 20)
    there = scale_boxes(boxes, (375, 500), (300, 300))
    torch.testing.assert_close(scale_boxes(there, (300, 300), (375, 500)), boxes)


@pytest.mark.parametrize(
    "function", [lambda b: clip_boxes(b, (5, 5)), lambda b: scale_boxes(b, (5, 5), (9, 9))]
)
def test_no_boxes_stay_no_boxes(function) -> None:  # type: ignore[no-untyped-def]
    result = function(torch.zeros(0, 4))
    assert result.shape == (0, 4)
    assert result.dtype == torch.float32


def test_pairwise_iou_equals_torchvision() -> None:
    torch.manual_seed(0)
    boxes1, boxes2 = random_boxes(40), random_boxes(60)
    assert torch.equal(pairwise_iou(boxes1, boxes2), box_iou(boxes1, boxes2))


def test_pairwise_iou_batches_and_broadcasts() -> None:
    torch.manual_seed(0)
    boxes1, boxes2 = random_boxes(3, 5), random_boxes(7)
    iou = pairwise_iou(boxes1, boxes2)
    assert iou.shape == (3, 5, 7)
    for image in range(3):
        assert torch.equal(iou[image], box_iou(boxes1[image], boxes2))


def test_pairwise_iou_by_hand() -> None:
    boxes1 = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    boxes2 = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0]])
    torch.testing.assert_close(pairwise_iou(boxes1, boxes2), torch.tensor([[1 / 7, 1.0, 0.0]]))


def test_pairwise_iou_of_degenerate_boxes_is_zero() -> None:
    degenerate = torch.tensor([[0.0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 1, 1], [3, 8, 7, 2]])
    proper = torch.tensor([[0.0, 0, 10, 10]])
    assert torch.equal(pairwise_iou(degenerate, degenerate), torch.zeros(4, 4))
    assert torch.equal(pairwise_iou(degenerate, proper), torch.zeros(4, 1))
    assert torch.equal(pairwise_iou(proper, degenerate), torch.zeros(1, 4))


def test_pairwise_iou_of_no_boxes() -> None:
    assert pairwise_iou(torch.zeros(2, 0, 4), torch.zeros(6, 4)).shape == (2, 0, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pairwise_iou_of_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    boxes = (random_boxes(20) * 3).to(dtype)  # areas far above the largest float16
    iou = pairwise_iou(boxes, boxes)
    assert iou.dtype == torch.float32
    assert torch.equal(iou, box_iou(boxes.float(), boxes.float()))
