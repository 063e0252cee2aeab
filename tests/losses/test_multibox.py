"""The multibox loss: published values, a naive double loop, gradients, several processes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.losses.multibox import (
    ClassLoss,
    MultiboxLoss,
    focal_loss,
    giou_loss,
    loss_weight,
    multibox_loss,
)
from detection.ops.coding import decode_boxes

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def reference_case() -> Case:
    """The inputs of the published values."""
    random = np.random.RandomState(0)
    logits, deltas = random.randn(2, 12, 4).astype("float32"), random.randn(2, 12, 4).astype("float32")
    gt_labels, gt_deltas = torch.zeros(2, 12, dtype=torch.int64), torch.zeros(2, 12, 4)
    gt_labels[0, 2], gt_labels[0, 5], gt_labels[1, 7] = 1, 3, 2
    gt_deltas[0, 2] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    gt_deltas[0, 5] = torch.tensor([-0.5, 0.5, 1.5, -1.5])
    gt_deltas[1, 7] = 1
    return torch.from_numpy(logits), torch.from_numpy(deltas), gt_labels, gt_deltas


def random_case(seed: int) -> Case:
    """Three images; the first without objects, the second at times with objects matching nothing."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 20, 5, generator=generator) * 3
    deltas, gt_deltas = torch.randn(2, 3, 20, 4, generator=generator) * 2
    rate = torch.tensor([[0.0], [0.1], [0.5]])
    positive = torch.rand(3, 20, generator=generator) < rate
    gt_labels = torch.randint(1, 5, (3, 20), generator=generator).where(positive, 0)
    return logits, deltas, gt_labels, gt_deltas.where(positive.unsqueeze(-1), 0)


def naive_loss(
    logits: Tensor, deltas: Tensor, gt_labels: Tensor, gt_deltas: Tensor, weights: list[float] | None = None
) -> tuple[float, float]:
    """Loops over images and anchors, in plain Python floats."""
    cls, box, num_positives = 0.0, 0.0, 0
    for image in range(len(logits)):
        negatives, num_image = [], 0
        for anchor in range(logits.shape[1]):
            row, label = logits[image, anchor].tolist(), int(gt_labels[image, anchor])
            cross_entropy = math.log(sum(map(math.exp, row))) - row[label]
            if label == 0:
                negatives.append(cross_entropy)
                continue
            num_image += 1
            cls += cross_entropy * (weights[label] if weights else 1)
            for delta, gt in zip(
                deltas[image, anchor].tolist(), gt_deltas[image, anchor].tolist(), strict=True
            ):
                error = abs(delta - gt)
                box += error - 0.5 if error > 1 else error**2 / 2
        cls += sum(sorted(negatives, reverse=True)[: 3 * num_image])
        num_positives += num_image
    return cls / max(1, num_positives), box / max(1, num_positives)


def naive_focal_loss(logits: Tensor, gt_labels: Tensor, weights: Sequence[float] = (1.0,) * 5) -> float:
    """Equation 5 of the paper, class by class."""
    total = 0.0
    for row, label in zip(logits.flatten(0, 1).tolist(), gt_labels.flatten().tolist(), strict=True):
        for k in range(1, len(row)):
            p = 1 / (1 + math.exp(row[0] - row[k]))
            p_true, alpha = (p, 0.25) if k == label else (1 - p, 0.75)
            total -= weights[label] * alpha * (1 - p_true) ** 2 * math.log(p_true)
    return total


def naive_giou_loss(box: list[float], gt: list[float]) -> float:
    """Algorithm 1 of the paper, in pixels."""
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, gt)]
    width = max(0.0, min(box[2], gt[2]) - max(box[0], gt[0]))
    height = max(0.0, min(box[3], gt[3]) - max(box[1], gt[1]))
    union = sum(areas) - width * height
    hull = (max(box[2], gt[2]) - min(box[0], gt[0])) * (max(box[3], gt[3]) - min(box[1], gt[1]))
    return 1 - width * height / union + (hull - union) / hull


def test_published_values() -> None:
    logits, deltas, gt_labels, gt_deltas = reference_case()
    loss = multibox_loss(logits, deltas, gt_labels, gt_deltas)
    # The reference returns one value per image; ours is their sum.
    assert loss.total.item() == pytest.approx(6.749995 + 4.164528, abs=1e-5)
    assert loss.cls.item() == pytest.approx(4.618251 + 3.249125, abs=1e-5)
    assert loss.box.item() == pytest.approx(2.131744 + 0.915403, abs=1e-5)


def test_published_values_image_by_image() -> None:
    expected = MultiboxLoss(*torch.tensor([[6.749995, 4.164528], [4.618251, 3.249125], [2.131744, 0.915403]]))
    for image in range(2):
        logits, deltas, gt_labels, gt_deltas = (tensor[image : image + 1] for tensor in reference_case())
        loss = multibox_loss(logits, deltas, gt_labels, gt_deltas)
        share = (gt_labels > 0).sum() / 3  # the published values are divided by the positives of both
        for value, value_expected in zip(loss, expected, strict=True):
            assert (value * share).item() == pytest.approx(value_expected[image].item(), abs=1e-5)


@pytest.mark.parametrize("seed", range(60))
def test_equals_a_naive_double_loop(seed: int) -> None:
    case = random_case(seed)
    loss = multibox_loss(*case)
    cls, box = naive_loss(*case)
    assert loss.cls.item() == pytest.approx(cls, rel=1e-5, abs=1e-6)
    assert loss.box.item() == pytest.approx(box, rel=1e-5, abs=1e-6)
    assert loss.total.item() == pytest.approx(cls + box, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_weighted_classes_equal_a_naive_double_loop(seed: int) -> None:
    case, weights = random_case(seed), [1.0, 0.5, 3.0, 0.0, 7.0]
    loss = multibox_loss(*case, class_weights=torch.tensor(weights))
    cls, box = naive_loss(*case, weights)
    assert loss.cls.item() == pytest.approx(cls, rel=1e-5, abs=1e-6)
    assert loss.box.item() == pytest.approx(box, rel=1e-5, abs=1e-6)
    assert torch.equal(multibox_loss(*case, class_weights=torch.ones(5)).cls, multibox_loss(*case).cls)
    focal = multibox_loss(*case, class_weights=torch.tensor(weights), class_loss="focal")
    expected = naive_focal_loss(case[0], case[2], weights) / int(loss_weight(case[2], "focal"))
    assert focal.cls.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_focal_loss_equals_a_naive_loop_and_counts_empty_images(seed: int) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(seed)
    loss = multibox_loss(logits, deltas, gt_labels, gt_deltas, class_loss="focal")
    weight = sum(max(1, int((of_image > 0).sum())) for of_image in gt_labels)
    assert int(loss_weight(gt_labels, "focal")) == weight
    assert loss.cls.item() == pytest.approx(naive_focal_loss(logits, gt_labels) / weight, rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_giou_loss_equals_a_naive_loop_over_boxes_of_any_anchors(seed: int) -> None:
    stds = (0.1, 0.1, 0.2, 0.2)
    _, deltas, gt_labels, gt_deltas = random_case(seed)
    draw = torch.Generator().manual_seed(seed)
    corners = torch.rand(20, 2, generator=draw) * 250
    anchors = torch.cat((corners, corners + 1 + torch.rand(20, 2, generator=draw) * 250), dim=1)
    boxes, gt_boxes = (decode_boxes(values, anchors, stds) for values in (deltas, gt_deltas))
    positive = gt_labels > 0
    pairs = zip(boxes[positive].tolist(), gt_boxes[positive].tolist(), strict=True)
    expected = sum(naive_giou_loss(box, gt) for box, gt in pairs)
    assert giou_loss(deltas[positive], gt_deltas[positive], stds).item() == pytest.approx(expected, rel=1e-4)
    loss = multibox_loss(torch.zeros(3, 20, 5), deltas, gt_labels, gt_deltas, box_loss="giou", stds=stds)
    assert loss.box.item() == pytest.approx(expected / max(1, int(positive.sum())), rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_of_focal_and_giou_loss_are_finite(scale: float) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(3)
    logits, deltas = (logits * scale).requires_grad_(), (deltas * scale).requires_grad_()
    loss = multibox_loss(logits, deltas, gt_labels, gt_deltas, class_loss="focal", box_loss="giou")
    logits_grad, deltas_grad = torch.autograd.grad(loss.total, (logits, deltas))
    assert logits_grad.isfinite().all()
    assert deltas_grad.isfinite().all()
    assert not deltas_grad[gt_labels == 0].any()


def test_focal_loss_learns_from_a_batch_without_objects() -> None:
    logits, deltas = torch.randn(2, 9, 4, requires_grad=True), torch.randn(2, 9, 4, requires_grad=True)
    nothing = torch.zeros(2, 9, dtype=torch.int64), torch.zeros(2, 9, 4)
    loss = multibox_loss(logits, deltas, *nothing, class_loss="focal", box_loss="giou")
    assert loss.box.item() == 0
    assert loss.cls.item() == pytest.approx(focal_loss(logits, nothing[0]).item() / 2)
    logits_grad, deltas_grad = torch.autograd.grad(loss.total, (logits, deltas))
    assert logits_grad.all()
    assert not deltas_grad.any()


def test_a_batch_without_positives_gives_zero_loss_and_zero_gradients() -> None:
    logits, deltas = torch.randn(2, 9, 4, requires_grad=True), torch.randn(2, 9, 4, requires_grad=True)
    loss = multibox_loss(logits, deltas, torch.zeros(2, 9, dtype=torch.int64), torch.zeros(2, 9, 4))
    assert loss.total.item() == loss.cls.item() == loss.box.item() == 0
    for gradient in torch.autograd.grad(loss.total, (logits, deltas)):  # raises where there is none
        assert not gradient.any()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_are_finite(scale: float) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(3)
    logits, deltas = (logits * scale).requires_grad_(), (deltas * scale).requires_grad_()
    loss = multibox_loss(logits, deltas, gt_labels, gt_deltas)
    logits_grad, deltas_grad = torch.autograd.grad(loss.total, (logits, deltas))
    assert logits_grad.isfinite().all()
    assert deltas_grad.isfinite().all()
    assert not deltas_grad[gt_labels == 0].any()


def test_gradients_equal_finite_differences() -> None:
    # The loss computes in float32, hence the wide step and tolerance; no tie or kink is that close.
    logits, deltas, gt_labels, gt_deltas = reference_case()
    logits.requires_grad_()
    deltas.requires_grad_()
    loss = multibox_loss(logits, deltas, gt_labels, gt_deltas)
    logits_grad, deltas_grad = torch.autograd.grad(loss.total, (logits, deltas))
    step = 1e-2
    for tensor, grad, index in [(logits, logits_grad, (0, 2, 1)), (deltas, deltas_grad, (1, 7, 2))]:
        values = []
        for sign in (step, -step):
            with torch.no_grad():
                tensor[index] += sign
                values.append(multibox_loss(logits, deltas, gt_labels, gt_deltas).total.item())
                tensor[index] -= sign
        assert grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=2e-3)


@pytest.mark.parametrize("class_loss", ["softmax", "focal"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_parts_weighted_by_their_positives_make_the_whole(seed: int, class_loss: ClassLoss) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(seed)
    if seed == 3:  # fewer positives than parts
        gt_labels = torch.zeros_like(gt_labels)
        gt_labels[2, 4] = 1
    logits.requires_grad_()

    def total(part: slice) -> Tensor:
        case = logits[part], deltas[part], gt_labels[part], gt_deltas[part]
        return multibox_loss(*case, class_loss=class_loss).total

    whole = total(slice(None))
    parts = (slice(0, 2), slice(2, 3))
    totals = [total(part) for part in parts]
    weights = [loss_weight(gt_labels[part], class_loss) for part in parts]
    mean = (totals[0] * weights[0] + totals[1] * weights[1]) / (weights[0] + weights[1])
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, logits), torch.autograd.grad(whole, logits))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("others", [{}, {"class_loss": "focal", "box_loss": "giou"}])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, others: dict[str, Any]) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(5)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = multibox_loss(logits, deltas, gt_labels, gt_deltas, **others)
    full = multibox_loss(logits.float(), deltas.float(), gt_labels, gt_deltas, **others)
    assert all(value.dtype == torch.float32 for value in half)
    assert torch.equal(half.total, full.total)


@pytest.mark.parametrize("others", [{}, {"class_loss": "focal"}])
def test_no_value_is_read_back_off_the_cpu(others: dict[str, Any]) -> None:
    labels = torch.empty(4, 30, device="meta", dtype=torch.int64)
    loss = multibox_loss(
        torch.empty(4, 30, 5, device="meta"),
        torch.empty(4, 30, 4, device="meta"),
        labels,
        torch.empty(4, 30, 4, device="meta"),
        **others,
    )
    assert loss.total.shape == ()
