"""SSD's targets: published values on its anchors, a naive oracle, batches and empty cases."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from detection.ops import processor
from detection.ops.boxes import pairwise_iou
from detection.ops.coding import decode_boxes
from detection.ops.matching import match_anchors
from detection.targets import ssd
from detection.targets.ssd import assign_ssd_targets

STDS = (0.1, 0.1, 0.2, 0.2)


def ssd300_anchors() -> Tensor:
    """The 8732 anchors of SSD300 on VOC, by plain loops over the published table."""
    sides = (30, 60, 111, 162, 213, 264, 315)
    few, many = (2, 1 / 2), (2, 1 / 2, 3, 1 / 3)
    layers = zip(
        (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300), (few, many, many, many, few, few), strict=True
    )
    anchors = []
    for layer, (cells, step, ratios) in enumerate(layers):
        side, between = sides[layer], math.sqrt(sides[layer] * sides[layer + 1])
        shapes = [(side, side), (between, between)]
        shapes += [(side * math.sqrt(ratio), side / math.sqrt(ratio)) for ratio in ratios]
        for row in range(cells):
            for column in range(cells):
                x, y = (column + 0.5) * step, (row + 0.5) * step
                anchors += [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in shapes]
    return torch.tensor(anchors)


def random_batch(batch_size: int, num_gt: int, seed: int) -> tuple[Tensor, Tensor]:
    """Padded ground truth of random length, at times none."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(batch_size, num_gt, 2, generator=generator) * 200
    boxes = torch.cat((corner, corner + torch.rand(batch_size, num_gt, 2, generator=generator) * 150), dim=-1)
    labels = torch.randint(0, 20, (batch_size, num_gt), generator=generator)
    count = torch.randint(0, num_gt + 1, (batch_size, 1), generator=generator)
    padded = torch.arange(num_gt) >= count
    return boxes.masked_fill(padded.unsqueeze(-1), 0), labels.masked_fill(padded, -1)


def test_there_are_8732_anchors() -> None:
    assert ssd300_anchors().shape == (8732, 4)


def test_published_targets_of_one_box() -> None:
    boxes = torch.tensor([[[10.0, 20, 80, 90]]])
    labels, deltas = assign_ssd_targets(ssd300_anchors(), boxes, torch.tensor([[4]]))
    positive = (labels[0] == 5).nonzero().flatten()
    assert len(positive) == 13
    assert (labels[0] != 0).sum() == 13
    assert positive[0] == 6016
    assert deltas[0, 6016].tolist() == pytest.approx([0.8333, 2.5, 0.7708, 0.7708], abs=1e-4)


def test_published_targets_of_four_boxes() -> None:
    boxes = torch.tensor([[[10.0, 10, 30, 30], [40, 40, 60, 60], [50, 50, 90, 90], [100, 110, 120, 140]]])
    labels, _ = assign_ssd_targets(ssd300_anchors(), boxes, torch.zeros(1, 4, dtype=torch.int64))
    positive = labels[0] > 0
    assert positive.sum() == 17
    # The reference has 23: there, every anchor that attains the best IoU of a ground truth is positive.
    # Ours, as in the paper, forces one anchor per ground truth and then applies the threshold. The first
    # box lies inside seven anchors of 900 square pixels, all at IoU 4/9 up to rounding: we force one.
    iou = pairwise_iou(boxes[0], ssd300_anchors())
    tied = iou > iou.max(dim=1, keepdim=True).values - 1e-6
    assert tied.sum(dim=1).tolist() == [7, 1, 1, 1]
    assert (positive | tied.any(dim=0)).sum() == 23


@pytest.mark.parametrize("seed", range(5))
def test_equals_an_oracle_built_image_by_image(seed: int) -> None:
    anchors = ssd300_anchors()
    boxes, labels = random_batch(4, 6, seed)
    targets = assign_ssd_targets(anchors, boxes, labels)
    for image in range(4):
        iou = box_iou(boxes[image], anchors)  # 0 where padded: the boxes have no area there
        matches = match_anchors(iou[None])[0]
        positive = matches >= 0
        expected = torch.zeros(8732, dtype=torch.int64)
        expected[positive] = labels[image][matches[positive]] + 1
        assert torch.equal(targets.labels[image], expected)
        decoded = decode_boxes(targets.deltas[image][positive], anchors[positive], STDS)
        torch.testing.assert_close(decoded, boxes[image][matches[positive]], rtol=1e-5, atol=1e-3)
        assert not targets.deltas[image][~positive].any()


def test_every_overlapping_ground_truth_has_an_anchor() -> None:
    anchors = ssd300_anchors()
    boxes, labels = random_batch(8, 12, seed=7)
    matches = match_anchors(pairwise_iou(boxes, anchors))
    for image in range(8):
        assert set(matches[image].tolist()) - {-1} == set(range(int((labels[image] >= 0).sum())))


@pytest.mark.parametrize("max_pairs", [1, 2**18, 2**40])
@pytest.mark.parametrize("whole_batches", [False, True])
def test_a_batch_equals_its_images_in_whatever_chunks(
    whole_batches: bool, max_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssd, "_MAX_PAIRS", max_pairs)
    monkeypatch.setattr(processor, "on_cpu", lambda tensor: not whole_batches)
    anchors = ssd300_anchors()
    boxes, labels = random_batch(6, 5, seed=1)
    together = assign_ssd_targets(anchors, boxes, labels)
    for image in range(6):
        count = int((labels[image] >= 0).sum())  # a worker sees no padding
        alone = assign_ssd_targets(
            anchors, boxes[image : image + 1, :count], labels[image : image + 1, :count]
        )
        assert torch.equal(together.labels[image], alone.labels[0])
        assert torch.equal(together.deltas[image], alone.deltas[0])


def test_a_ground_truth_outside_every_anchor_makes_no_anchor_positive() -> None:
    outside = torch.tensor([[[5000.0, 5000, 5100, 5100]]])
    labels, deltas = assign_ssd_targets(ssd300_anchors(), outside, torch.zeros(1, 1, dtype=torch.int64))
    assert not labels.any()
    assert not deltas.any()


@pytest.mark.parametrize("num_gt", [0, 3])
def test_images_without_objects(num_gt: int) -> None:
    boxes, labels = torch.zeros(2, num_gt, 4), torch.full((2, num_gt), -1)
    targets = assign_ssd_targets(ssd300_anchors(), boxes, labels)
    assert targets.labels.shape == (2, 8732)
    assert targets.labels.dtype == torch.int64
    assert targets.deltas.shape == (2, 8732, 4)
    assert targets.deltas.dtype == torch.float32
    assert not targets.labels.any()
    assert not targets.deltas.any()


def test_a_degenerate_ground_truth_gives_finite_targets() -> None:
    boxes = torch.tensor([[[50.0, 50, 50, 90], [10, 20, 80, 90]]])
    labels, deltas = assign_ssd_targets(ssd300_anchors(), boxes, torch.tensor([[3, 4]]))
    assert deltas.isfinite().all()
    assert set(labels.flatten().tolist()) == {0, 5}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_boxes_give_float32_targets(dtype: torch.dtype) -> None:
    anchors = ssd300_anchors()
    boxes, labels = random_batch(2, 4, seed=2)
    half = assign_ssd_targets(anchors, boxes.to(dtype), labels)
    full = assign_ssd_targets(anchors, boxes.to(dtype).float(), labels)
    assert half.deltas.dtype == torch.float32
    assert torch.equal(half.labels, full.labels)
    assert torch.equal(half.deltas, full.deltas)


def test_no_gradient_is_recorded() -> None:
    anchors = ssd300_anchors().requires_grad_()
    boxes, labels = random_batch(1, 3, seed=0)
    assert not assign_ssd_targets(anchors, boxes, labels).deltas.requires_grad
