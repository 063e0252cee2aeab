"""The region proposal network's targets: published values, oracles, sampling, borders and empty cases."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from detection.ops.coding import decode_boxes
from detection.ops.rpn_anchors import rpn_base_anchors, shift_anchors
from detection.targets.rpn import assign_rpn_targets

STDS = (1.0, 1.0, 1.0, 1.0)


def voc_anchors() -> Tensor:
    """The 28,500 anchors of an image of 600 x 800 at stride 16."""
    return shift_anchors(rpn_base_anchors(16, (0.5, 1, 2), (2, 4, 8, 16, 32)), (38, 50), stride=16)


def random_boxes(num: int, seed: int, size: tuple[int, int] = (600, 800)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size[1], size[0]])
    corner = torch.rand(num, 2, generator=generator) * scale * 0.8
    sides = torch.rand(num, 2, generator=generator) ** 2 * scale * 0.8 + 1
    return torch.cat((corner, torch.minimum(corner + sides, scale)), dim=-1)


def integer_boxes(num: int, seed: int, limit: int, longest: int) -> Tensor:
    """Whole pixels, so that ties are exact in float32, too."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(-4, limit, (num, 2), generator=generator)
    sides = torch.randint(1, longest, (num, 2), generator=generator)
    return torch.cat((corner, corner + sides), dim=-1).float()


def assign_all(anchors: Tensor, boxes: Tensor, size: tuple[int, int], **kwargs: Any) -> tuple[Tensor, Tensor]:
    """One image, with samples enough for every anchor."""
    targets = assign_rpn_targets(
        anchors, [boxes], [size], num_samples=2 * len(anchors), positive_fraction=0.5, **kwargs
    )
    return targets.labels[0], targets.deltas[0]


def naive_iou(a: list[float], b: list[float]) -> Fraction:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = int(max(width, 0) * max(height, 0))
    return Fraction(overlap, int((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - overlap)


def naive_labels(anchors: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Label and ground truth of each anchor, by loops over exact fractions."""
    height, width = size
    labels, matches = [-1] * len(anchors), [0] * len(anchors)
    inside = [
        i
        for i, (x1, y1, x2, y2) in enumerate(anchors.tolist())
        if x1 >= 0 and y1 >= 0 and x2 < width and y2 < height
    ]
    iou = {
        (i, g): naive_iou(a, b) for i, a in enumerate(anchors.tolist()) for g, b in enumerate(boxes.tolist())
    }
    for i in inside:
        overlaps = [iou[i, g] for g in range(len(boxes))]
        best = max(overlaps)
        matches[i] = overlaps.index(best)
        if best < Fraction(3, 10):
            labels[i] = 0
        if best >= Fraction(7, 10):
            labels[i] = 1
        for g, overlap in enumerate(overlaps):
            if overlap > 0 and overlap == max(iou[j, g] for j in inside):
                labels[i] = 1
    return labels, matches


@pytest.mark.parametrize("seed", range(30))
def test_equals_a_naive_loop(seed: int) -> None:
    anchors = integer_boxes(60, seed, limit=40, longest=16)
    boxes = integer_boxes(1 + seed % 6, seed + 100, limit=40, longest=16)
    size = (40, 45)
    labels, deltas = assign_all(anchors, boxes, size)
    expected, matches = naive_labels(anchors, boxes, size)
    assert labels.tolist() == expected
    positive = labels == 1
    decoded = decode_boxes(deltas[positive], anchors[positive], STDS)
    torch.testing.assert_close(decoded, boxes[torch.tensor(matches)[positive]], rtol=0, atol=1e-3)
    assert not deltas[~positive].any()


@pytest.mark.parametrize("num_boxes", [1, 5, 200])
def test_equals_torchvision_where_every_anchor_counts(num_boxes: int) -> None:
    anchors, boxes = voc_anchors(), random_boxes(num_boxes, seed=num_boxes)
    labels, deltas = assign_all(anchors, boxes, (600, 800), ignore_cross_boundary=False)
    matches = Matcher(0.7, 0.3, allow_low_quality_matches=True)(box_iou(boxes, anchors))
    expected = torch.ones_like(matches)
    expected[matches == Matcher.BELOW_LOW_THRESHOLD] = 0
    expected[matches == Matcher.BETWEEN_THRESHOLDS] = -1
    assert torch.equal(labels, expected)
    positive = labels == 1
    decoded = decode_boxes(deltas[positive], anchors[positive], STDS)
    torch.testing.assert_close(decoded, boxes[matches[positive]], rtol=1e-4, atol=1e-2)


def test_published_number_of_anchors_inside() -> None:
    labels, _ = assign_all(voc_anchors(), torch.zeros(0, 4), (600, 800))
    assert len(labels) == 28500
    assert (labels == 0).sum() == 15720
    assert (labels == -1).sum() == 28500 - 15720


def test_the_best_anchor_of_a_ground_truth_is_positive_however_little_it_overlaps() -> None:
    anchors = torch.tensor([[0.0, 0, 31, 31], [0, 0, 63, 63], [100, 100, 131, 131], [100, 100, 355, 355]])
    labels, _ = assign_all(anchors, torch.tensor([[0.0, 0, 120, 120]]), (400, 400))
    # The reference prints 0 for all four: it lets the rule "below 0.3 is negative" overwrite the best
    # anchor, here the second at IoU 0.28. The paper makes it positive, and so do we.
    assert labels.tolist() == [0, 1, 0, 0]


def test_all_anchors_tied_for_the_best_are_positive() -> None:
    anchors = torch.tensor([[10.0, 10, 20, 20], [20, 10, 30, 20], [10, 40, 20, 50]])
    labels, _ = assign_all(anchors, torch.tensor([[15.0, 10, 25, 20]]), (100, 100))
    assert labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_samples_are_a_subset_of_the_labels_in_the_stated_numbers(seed: int) -> None:
    anchors, boxes = voc_anchors(), [random_boxes(200, seed), random_boxes(3, seed), torch.zeros(0, 4)]
    sizes = [(600, 800)] * 3
    torch.manual_seed(seed)
    targets = assign_rpn_targets(anchors, boxes, sizes)
    assert targets.labels.shape == (3, 28500)
    assert targets.labels.dtype == torch.int64
    assert targets.deltas.shape == (3, 28500, 4)
    for labels, deltas, image_boxes in zip(*targets, boxes, strict=True):
        everything, all_deltas = assign_all(anchors, image_boxes, (600, 800))
        num_positives = min(128, int((everything == 1).sum()))
        assert (labels == 1).sum() == num_positives
        assert (labels == 0).sum() == 256 - num_positives
        assert torch.equal(labels[labels >= 0], everything[labels >= 0])
        assert torch.equal(deltas[labels == 1], all_deltas[labels == 1])
        assert not deltas[labels != 1].any()


def test_the_seed_decides_the_sample() -> None:
    samples = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        samples.append(assign_rpn_targets(voc_anchors(), [random_boxes(3, 0)], [(600, 800)]))
    assert torch.equal(samples[0].labels, samples[1].labels)
    assert torch.equal(samples[0].deltas, samples[1].deltas)
    assert not torch.equal(samples[0].labels, samples[2].labels)


def test_anchors_in_the_padding_count_only_where_every_anchor_does() -> None:
    anchors = voc_anchors()
    beyond = (anchors[:, 2] >= 400) | (anchors[:, 3] >= 300)
    boxes = random_boxes(3, seed=0, size=(300, 400))
    labels, _ = assign_all(anchors, boxes, (300, 400))
    assert (labels[beyond] == -1).all()
    assert (labels[~beyond] >= 0).any()
    labels, _ = assign_all(anchors, boxes, (300, 400), ignore_cross_boundary=False)
    far = (anchors[:, 0] >= 400) | (anchors[:, 1] >= 300)
    assert (labels[far] == 0).all()


@pytest.mark.parametrize("num_boxes", [0, 2])
def test_an_image_that_holds_no_anchor_has_no_samples(num_boxes: int) -> None:
    targets = assign_rpn_targets(voc_anchors(), [random_boxes(num_boxes, 0, (20, 20))], [(20, 20)])
    assert (targets.labels == -1).all()
    assert not targets.deltas.any()


def test_an_image_without_objects_has_negatives_only() -> None:
    targets = assign_rpn_targets(voc_anchors(), [torch.zeros(0, 4)], [(600, 800)])
    assert (targets.labels == 0).sum() == 256
    assert (targets.labels == 1).sum() == 0


@pytest.mark.parametrize(
    "box",
    [
        (5000.0, 5000.0, 5100.0, 5100.0),  # overlaps nothing
        (300.0, 300.0, 300.0, 340.0),  # has no area
    ],
)
def test_a_ground_truth_without_overlap_makes_no_anchor_positive(box: tuple[float, ...]) -> None:
    labels, deltas = assign_all(voc_anchors(), torch.tensor([box]), (600, 800))
    assert not (labels == 1).any()
    assert not deltas.any()


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 800.0, 600.0),  # fills the image
        (300.2, 300.1, 300.6, 300.9),  # smaller than a pixel
    ],
)
def test_every_overlapping_ground_truth_has_a_positive_anchor_and_finite_deltas(
    box: tuple[float, ...],
) -> None:
    labels, deltas = assign_all(voc_anchors(), torch.tensor([box]), (600, 800))
    assert (labels == 1).any()
    assert deltas.isfinite().all()


def test_a_batch_equals_its_images() -> None:
    anchors, sizes = voc_anchors(), [(600, 800), (562, 750), (600, 600)]
    boxes = [random_boxes(num, num, size) for num, size in zip((4, 0, 30), sizes, strict=True)]
    torch.manual_seed(0)
    together = assign_rpn_targets(anchors, boxes, sizes)
    torch.manual_seed(0)
    for i in range(3):
        alone = assign_rpn_targets(anchors, boxes[i : i + 1], sizes[i : i + 1])
        assert torch.equal(alone.labels[0], together.labels[i])
        assert torch.equal(alone.deltas[0], together.deltas[i])


@pytest.mark.parametrize(("negative_iou", "positive_iou"), [(0.0, 0.7), (0.7, 0.3), (0.3, 1.5)])
def test_thresholds_that_make_no_sense_are_refused(negative_iou: float, positive_iou: float) -> None:
    with pytest.raises(ValueError, match="negative_iou must be above 0"):
        assign_rpn_targets(
            voc_anchors(),
            [random_boxes(1, 0)],
            [(600, 800)],
            negative_iou=negative_iou,
            positive_iou=positive_iou,
        )
