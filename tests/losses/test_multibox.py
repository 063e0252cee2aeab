"""The multibox loss: published values, a naive double loop, gradients, several processes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.losses.multibox import MultiboxLoss, multibox_loss

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


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_parts_weighted_by_their_positives_make_the_whole(seed: int) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(seed)
    if seed == 3:  # fewer positives than parts
        gt_labels = torch.zeros_like(gt_labels)
        gt_labels[2, 4] = 1
    logits.requires_grad_()
    whole = multibox_loss(logits, deltas, gt_labels, gt_deltas).total
    parts = (slice(0, 2), slice(2, 3))
    totals = [multibox_loss(logits[p], deltas[p], gt_labels[p], gt_deltas[p]).total for p in parts]
    weights = [(gt_labels[p] > 0).sum() for p in parts]
    mean = (totals[0] * weights[0] + totals[1] * weights[1]) / (weights[0] + weights[1])
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, logits), torch.autograd.grad(whole, logits))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(5)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = multibox_loss(logits, deltas, gt_labels, gt_deltas)
    full = multibox_loss(logits.float(), deltas.float(), gt_labels, gt_deltas)
    assert all(value.dtype == torch.float32 for value in half)
    assert torch.equal(half.total, full.total)


def test_no_value_is_read_back_off_the_cpu() -> None:
    labels = torch.empty(4, 30, device="meta", dtype=torch.int64)
    loss = multibox_loss(
        torch.empty(4, 30, 5, device="meta"),
        torch.empty(4, 30, 4, device="meta"),
        labels,
        torch.empty(4, 30, 4, device="meta"),
    )
    assert loss.total.shape == ()
