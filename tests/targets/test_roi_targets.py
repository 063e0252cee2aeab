"""Sampling proposals for the second stage: a naive loop, numbers, and empty cases."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from detection.ops.coding import decode_boxes
from detection.targets.roi import sample_proposals

STDS = (0.1, 0.1, 0.2, 0.2)


def integer_boxes(num: int, seed: int) -> Tensor:
    """Whole pixels, so that an IoU of exactly one half is exact in float32, too."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 30, (num, 2), generator=generator)
    return torch.cat((corner, corner + torch.randint(1, 30, (num, 2), generator=generator)), dim=-1).float()


def naive_iou(a: list[float], b: list[float]) -> Fraction:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = int(max(width, 0) * max(height, 0))
    return Fraction(overlap, int((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - overlap)


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_naive_loop(seed: int) -> None:
    boxes, proposals = integer_boxes(4, seed), integer_boxes(80, seed + 100)
    labels = torch.tensor([3, 0, 19, 7])
    targets = sample_proposals([proposals], [boxes], [labels], num_samples=168, positive_fraction=0.5)
    assert len(targets.labels) == 84  # enough for all: the proposals and the ground truth
    candidates = torch.cat((proposals, boxes)).tolist()
    assert sorted(targets.proposals[0].tolist()) == sorted(candidates)
    decoded = decode_boxes(targets.deltas, targets.proposals[0], STDS)
    for i, proposal in enumerate(targets.proposals[0].tolist()):
        overlaps = [naive_iou(proposal, box) for box in boxes.tolist()]
        best = overlaps.index(max(overlaps))
        if overlaps[best] >= Fraction(1, 2):
            assert targets.labels[i] == labels[best] + 1
            torch.testing.assert_close(decoded[i], boxes[best], rtol=0, atol=1e-3)
        else:
            assert targets.labels[i] == 0
            assert not targets.deltas[i].any()


def many(num_near: int, num_far: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct proposals that surely are, or surely are not, the one object."""
    box = torch.tensor([[100.0, 100, 200, 200]])
    near = box + torch.rand(num_near, 4) * 10
    far = box + 300 + torch.rand(num_far, 4) * 10
    return torch.cat((near, far)), box, torch.tensor([4])


@pytest.mark.parametrize(
    ("num_near", "num_far", "num_positive", "num_negative"),
    [
        (1999, 1, 32, 1),  # negatives short: no duplicates, no further positives
        (1000, 1000, 32, 96),
        (5, 1000, 6, 122),  # the ground truth is the sixth
        (0, 1000, 1, 127),
        (0, 0, 1, 0),
    ],
)
def test_numbers_of_samples(num_near: int, num_far: int, num_positive: int, num_negative: int) -> None:
    proposals, box, label = many(num_near, num_far)
    targets = sample_proposals([proposals], [box], [label])
    # Positives come first.
    assert targets.labels.tolist() == [5] * num_positive + [0] * num_negative
    assert targets.proposals[0].shape == (num_positive + num_negative, 4)
    assert len(targets.proposals[0].unique(dim=0)) == num_positive + num_negative
    assert targets.deltas.shape == (num_positive + num_negative, 4)
    assert not targets.deltas[num_positive:].any()


def test_ground_truth_is_its_own_sample_with_zero_deltas() -> None:
    boxes, labels = torch.tensor([[10.0, 10, 60, 90], [20, 20, 50, 50]]), torch.tensor([1, 0])
    targets = sample_proposals([torch.zeros(0, 4)], [boxes], [labels])
    order = targets.labels.argsort()
    assert targets.labels[order].tolist() == [1, 2]
    assert torch.equal(targets.proposals[0][order], boxes.flip(0))
    assert not targets.deltas.any()


def test_images_without_objects_or_proposals_side_by_side() -> None:
    proposals, box, label = many(20, 300)
    none, no_labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    targets = sample_proposals(
        [none, proposals, none, proposals], [none, none, box, box], [no_labels, no_labels, label, label]
    )
    assert [len(image) for image in targets.proposals] == [0, 128, 1, 128]
    assert len(targets.labels) == len(targets.deltas) == 257
    assert not targets.labels[:128].any()
    assert targets.labels[128] == 5
    assert targets.labels.dtype == torch.int64
    assert targets.deltas.dtype == torch.float32


def test_an_image_with_200_objects() -> None:
    boxes = integer_boxes(200, 0)
    targets = sample_proposals([integer_boxes(2000, 1)], [boxes], [torch.arange(200) % 20])
    assert len(targets.labels) == 128
    assert (targets.labels > 0).sum() == 32
    assert targets.deltas.isfinite().all()


@pytest.mark.parametrize(
    ("box", "label"),
    [
        ((0.0, 0.0, 800.0, 600.0), 1),  # fills the image
        ((300.2, 300.1, 300.6, 300.9), 1),  # smaller than a pixel
        ((300.0, 300.0, 300.0, 340.0), 0),  # without area it overlaps nothing, not even itself
    ],
)
def test_extreme_objects(box: tuple[float, ...], label: int) -> None:
    proposals = torch.rand(300, 4) * 10 + torch.tensor([600.0, 500, 620, 520])
    targets = sample_proposals([proposals], [torch.tensor([box])], [torch.tensor([0])], num_samples=301)
    assert targets.labels.max() == label
    assert targets.deltas.isfinite().all()


def test_the_seed_decides_the_sample() -> None:
    proposals, box, label = many(500, 500)
    samples = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        samples.append(sample_proposals([proposals], [box], [label]).proposals[0])
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


def test_no_gradient_is_recorded() -> None:
    proposals, box, label = many(5, 5)
    targets = sample_proposals([proposals.requires_grad_()], [box], [label])
    assert not targets.proposals[0].requires_grad
    assert not targets.deltas.requires_grad
