"""Detections against a naive implementation, by hand, and in the empty cases."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.counting import CountOperations, as_on_a_gpu
from benchmarks.detector_outputs import raw_predictions, ssd300_anchors, trained_logits
from detection.ops.postprocess import select_detections

STDS = (0.1, 0.1, 0.2, 0.2)
SIZE = (120, 160)


def random_outputs(seed: int, background: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 60, 5, generator=generator) * 2
    logits[..., 0] += background
    deltas = torch.randn(3, 60, 4, generator=generator)
    corner = torch.rand(60, 2, generator=generator) * 120
    anchors = torch.cat((corner, corner + 10 + torch.rand(60, 2, generator=generator) * 60), dim=-1)
    return logits, deltas, anchors


def naive_decode(deltas: list[float], anchor: list[float]) -> list[float]:
    """One box, clipped to the image."""
    w, h = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = (anchor[0] + anchor[2]) / 2 + deltas[0] * 0.1 * w
    y = (anchor[1] + anchor[3]) / 2 + deltas[1] * 0.1 * h
    half_w, half_h = w * math.exp(deltas[2] * 0.2) / 2, h * math.exp(deltas[3] * 0.2) / 2
    return [
        min(max(value, 0), limit)
        for value, limit in zip(
            (x - half_w, y - half_h, x + half_w, y + half_h), (160, 120, 160, 120), strict=True
        )
    ]


def naive_iou(a: list[float], b: list[float]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0


def naive_select(
    logits: Tensor, deltas: Tensor, anchors: Tensor, threshold: float, nms: float, topk: int, limit: int
) -> list[tuple[float, int, list[float]]]:
    """One image: (score, label, box) of each detection, by loops."""
    candidates = []
    for anchor, row in enumerate(logits.softmax(dim=-1).tolist()):
        candidates += [(-score, anchor, label) for label, score in enumerate(row[1:]) if score > threshold]
    kept: list[tuple[float, int, list[float]]] = []
    for negated, anchor, label in sorted(candidates)[:topk]:
        box = naive_decode(deltas[anchor].tolist(), anchors[anchor].tolist())
        if all(label != other or naive_iou(box, other_box) <= nms for _, other, other_box in kept):
            kept.append((-negated, label, box))
    return kept[:limit]


@pytest.mark.parametrize("background", [-2.0, 2.0, 6.0])
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("threshold", "topk", "limit"), [(0.01, 400, 100), (0.01, 30, 10), (0.3, 400, 100), (0.0, 90, 100)]
)
def test_equals_a_naive_implementation(
    seed: int, background: float, threshold: float, topk: int, limit: int
) -> None:
    logits, deltas, anchors = random_outputs(seed, background)
    detections = select_detections(
        logits, deltas, anchors, SIZE, STDS, threshold, 0.45, topk=topk, max_detections=limit
    )
    assert len(detections) == 3
    for image, found in enumerate(detections):
        expected = naive_select(logits[image], deltas[image], anchors, threshold, 0.45, topk, limit)
        assert found["labels"].tolist() == [label for _, label, _ in expected]
        torch.testing.assert_close(found["scores"], torch.tensor([score for score, _, _ in expected]))
        boxes = torch.tensor([box for _, _, box in expected]).view(-1, 4)
        torch.testing.assert_close(found["boxes"], boxes, rtol=1e-5, atol=1e-3)


def test_candidates_are_limited_over_all_classes_together() -> None:
    # Twenty far apart anchors, each sure of its own one of four classes: the best six overall remain.
    start = torch.arange(20.0).unsqueeze(1) * 8
    anchors = torch.cat((start, torch.zeros(20, 1), start + 6, torch.full((20, 1), 6.0)), dim=1)
    logits = torch.zeros(1, 20, 5)
    logits[0, torch.arange(20), 1 + torch.arange(20) % 4] = 10 - torch.arange(20) / 10
    (found,) = select_detections(logits, torch.zeros(1, 20, 4), anchors, SIZE, STDS, 0.5, topk=6)
    assert found["labels"].tolist() == [0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(found["boxes"], anchors[:6])


def test_suppression_is_within_a_class() -> None:
    anchors = torch.tensor([[0.0, 0, 50, 50], [1, 1, 51, 51], [2, 2, 52, 52]])
    logits = torch.tensor([[[0.0, 9, 0], [0, 8, 0], [0, 0, 7]]])
    (found,) = select_detections(logits, torch.zeros(1, 3, 4), anchors, SIZE, STDS, 0.5)
    assert found["labels"].tolist() == [0, 1]
    torch.testing.assert_close(found["boxes"], anchors[[0, 2]])


def test_equal_scores_keep_the_order_of_anchors() -> None:
    start = torch.arange(15.0).unsqueeze(1) * 10
    anchors = torch.cat((start, torch.zeros(15, 1), start + 9, torch.full((15, 1), 9.0)), dim=1)
    logits = torch.zeros(2, 15, 3)
    logits[..., 1] = 3
    for found in select_detections(logits, torch.zeros(2, 15, 4), anchors, SIZE, STDS, 0.5, max_detections=7):
        torch.testing.assert_close(found["boxes"], anchors[:7])


def test_nothing_found_gives_empty_tensors() -> None:
    logits, deltas, anchors = random_outputs(0, background=30)
    logits[1, 7, 2] = 40  # one image of three has something
    empty, one, _ = select_detections(logits, deltas, anchors, SIZE, STDS)
    assert len(one["scores"]) == 1
    assert empty["boxes"].shape == (0, 4)
    assert empty["scores"].shape == empty["labels"].shape == (0,)
    assert empty["boxes"].dtype == empty["scores"].dtype == torch.float32
    assert empty["labels"].dtype == torch.int64


def test_boxes_are_inside_the_image_and_scores_descend() -> None:
    logits, deltas, anchors = random_outputs(1, background=0)
    for found in select_detections(logits, deltas * 20, anchors, SIZE, STDS):
        assert found["boxes"].min() >= 0
        assert found["boxes"][:, 2].max() <= 160
        assert found["boxes"][:, 3].max() <= 120
        assert (found["scores"].diff() <= 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, anchors = random_outputs(2, background=2)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    half = select_detections(logits, deltas, anchors, SIZE, STDS)
    full = select_detections(logits.float(), deltas.float(), anchors, SIZE, STDS)
    for found, expected in zip(half, full, strict=True):
        assert found["scores"].dtype == found["boxes"].dtype == torch.float32
        assert torch.equal(found["scores"], expected["scores"])
        assert torch.equal(found["boxes"], expected["boxes"])
        assert torch.equal(found["labels"], expected["labels"])


def test_the_best_of_each_class_or_of_all_enter_suppression() -> None:
    anchors = torch.arange(6.0).unsqueeze(1) * 20 + torch.tensor([0.0, 0.0, 9.0, 9.0])  # all apart
    logits = torch.zeros(1, 6, 3)
    logits[0, :, 1] = torch.tensor([9.0, 8.0, 7.0, 6.0, 0.0, 0.0])
    logits[0, :, 2] = torch.tensor([0.0, 0.0, 0.0, 0.0, 5.0, 4.0])
    [of_all] = select_detections(logits, torch.zeros(1, 6, 4), anchors, (200, 200), STDS, 0.5, topk=3)
    assert of_all["labels"].tolist() == [0, 0, 0]
    [of_each] = select_detections(
        logits, torch.zeros(1, 6, 4), anchors, (200, 200), STDS, 0.5, topk=3, topk_per_class=True
    )
    assert of_each["labels"].tolist() == [0, 0, 0, 1, 1]
    assert of_each["boxes"][:, 0].tolist() == [0, 20, 40, 80, 100]
    nothing = torch.tensor([[[9.0, 0.0, 0.0]]])
    [empty] = select_detections(nothing, torch.zeros(1, 1, 4), anchors[:1], SIZE, STDS, topk_per_class=True)
    assert len(empty["boxes"]) == 0


@pytest.mark.parametrize("topk_per_class", [False, True])
@pytest.mark.parametrize("background", [-2.0, 2.0])
@pytest.mark.parametrize("max_detections", [1, 3, 100])
def test_more_candidates_are_taken_where_the_first_do_not_do(
    max_detections: int, background: float, topk_per_class: bool
) -> None:
    # All anchors of one image are the same box, and its first candidates are of one class: one is left.
    logits, deltas, anchors = random_outputs(4, background)
    deltas[1], anchors[:] = 0, torch.tensor([10.0, 10, 60, 60])
    logits[1, :, 1] += 5
    found = select_detections(
        logits, deltas, anchors, SIZE, STDS, 0.01, 0.45, 60, max_detections, topk_per_class
    )
    for image in range(3):
        expected = naive_select(logits[image], deltas[image], anchors, 0.01, 0.45, 240, max_detections)
        if not topk_per_class:
            expected = naive_select(logits[image], deltas[image], anchors, 0.01, 0.45, 60, max_detections)
        assert found[image]["labels"].tolist() == [label for _, label, _ in expected]
        torch.testing.assert_close(found[image]["scores"], torch.tensor([score for score, _, _ in expected]))


@pytest.mark.parametrize("topk_per_class", [False, True])
def test_a_gpu_gets_the_same_in_operations_that_do_not_grow_with_the_batch(topk_per_class: bool) -> None:
    anchors = ssd300_anchors()
    counts, found = [], []
    for batch_size in (2, 32):
        logits = trained_logits(batch_size, len(anchors))
        deltas = raw_predictions(batch_size, len(anchors))[1]
        arguments = logits, deltas, anchors, (300, 300), STDS
        with as_on_a_gpu(), CountOperations() as count:
            found = select_detections(*arguments, topk_per_class=topk_per_class)
        counts.append(count)
    for gpu, cpu in zip(found, select_detections(*arguments, topk_per_class=topk_per_class), strict=True):
        assert all(torch.equal(gpu[field], cpu[field]) for field in ("boxes", "scores", "labels"))
    assert counts[1].kernels == counts[0].kernels <= 100
    assert counts[1].syncs == counts[0].syncs <= 12, counts[1].reads
