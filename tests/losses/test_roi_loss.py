"""The loss of the second stage: by hand, a naive loop, gradients, several processes."""

import math

import pytest
import torch
from torch import Tensor

from detection.losses.roi import roi_loss

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def random_case(seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(24, 6, generator=generator) * 3
    deltas = torch.randn(24, 5, 4, generator=generator) * 2
    gt_labels = torch.randint(0, 6, (24,), generator=generator)
    return logits, deltas, gt_labels, torch.randn(24, 4, generator=generator) * 2


def naive_loss(
    logits: Tensor, deltas: Tensor, gt_labels: Tensor, gt_deltas: Tensor, weights: list[float] | None = None
) -> tuple[float, float]:
    """A loop over proposals, in plain Python floats."""
    cls, box = 0.0, 0.0
    for proposal, label in enumerate(gt_labels.tolist()):
        row = logits[proposal].tolist()
        cls += (math.log(sum(map(math.exp, row))) - row[label]) * (weights[label] if weights else 1)
        if label > 0:
            for error in (deltas[proposal, label - 1] - gt_deltas[proposal]).abs().tolist():
                box += error - 0.5 if error > 1 else error**2 / 2
    return cls / len(gt_labels), box / len(gt_labels)


def test_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]).log()
    gt_labels = torch.tensor([0, 2, 1])
    deltas = torch.full((3, 2, 4), 50.0)  # wrong, but of another class or of background
    deltas[1, 1] = torch.tensor([0.0, 0.5, 1.0, -3.0])
    deltas[2, 0] = 0
    loss = roi_loss(logits, deltas, gt_labels, torch.zeros(3, 4))
    assert loss.cls.item() == pytest.approx(-(math.log(0.5) + math.log(0.6) + math.log(0.8)) / 3, rel=1e-6)
    assert loss.box.item() == pytest.approx((0 + 0.125 + 0.5 + 2.5) / 3, rel=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_equals_a_naive_loop(seed: int) -> None:
    case = random_case(seed)
    loss = roi_loss(*case)
    cls, box = naive_loss(*case)
    assert loss.cls.item() == pytest.approx(cls, rel=1e-5)
    assert loss.box.item() == pytest.approx(box, rel=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_weighted_classes_equal_a_naive_loop(seed: int) -> None:
    case, weights = random_case(seed), [1.0, 0.5, 3.0, 0.0, 7.0, 2.0]
    loss = roi_loss(*case, class_weights=torch.tensor(weights))
    cls, box = naive_loss(*case, weights)
    assert loss.cls.item() == pytest.approx(cls, rel=1e-5)
    assert loss.box.item() == pytest.approx(box, rel=1e-5)
    assert torch.equal(roi_loss(*case, class_weights=torch.ones(6)).cls, roi_loss(*case).cls)


def test_with_a_ninth_it_is_torchvisions() -> None:
    from torchvision.models.detection.roi_heads import fastrcnn_loss

    logits, deltas, gt_labels, gt_deltas = random_case(2)
    with_background = torch.cat((torch.zeros(len(deltas), 1, 4), deltas), dim=1).flatten(1)
    cls, box = fastrcnn_loss(logits, with_background, [gt_labels], [gt_deltas])
    ours = roi_loss(logits, deltas, gt_labels, gt_deltas, beta=1 / 9)
    torch.testing.assert_close(ours.cls, cls)
    torch.testing.assert_close(ours.box, box)
    assert ours.box > roi_loss(logits, deltas, gt_labels, gt_deltas).box


@pytest.mark.parametrize("num_proposals", [0, 7])
def test_without_positives_every_input_still_has_a_gradient(num_proposals: int) -> None:
    logits = torch.randn(num_proposals, 4, requires_grad=True)
    deltas = torch.randn(num_proposals, 3, 4, requires_grad=True)
    loss = roi_loss(logits, deltas, torch.zeros(num_proposals).long(), torch.zeros(num_proposals, 4))
    assert loss.box.item() == 0
    assert (loss.cls.item() == 0) == (num_proposals == 0)
    # Raises where there is none.
    _, deltas_grad = torch.autograd.grad(loss.cls + loss.box, (logits, deltas))
    assert not deltas_grad.any()


def test_gradients_are_finite_and_reach_the_true_class_only() -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(3)
    logits, deltas = (logits * 1e4).requires_grad_(), (deltas * 1e4).requires_grad_()
    loss = roi_loss(logits, deltas, gt_labels, gt_deltas)
    logits_grad, deltas_grad = torch.autograd.grad(loss.cls + loss.box, (logits, deltas))
    assert logits_grad.isfinite().all()
    expected = torch.nn.functional.one_hot(gt_labels, 6)[:, 1:].bool()
    assert torch.equal(deltas_grad.abs().sum(dim=-1) > 0, expected)


def test_an_image_counts_the_same_whatever_it_is_batched_with() -> None:
    case = random_case(1)
    whole = torch.stack(roi_loss(*case, num_sampled=[20, 0, 4]))
    logits, deltas, gt_labels, gt_deltas = case
    images = (slice(0, 20), slice(20, 20), slice(20, 24))
    alone = torch.stack(
        [torch.stack(roi_loss(logits[i], deltas[i], gt_labels[i], gt_deltas[i])) for i in images]
    )
    assert not alone[1].any(), "an image without a proposal"
    torch.testing.assert_close(whole, alone.mean(dim=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(5)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = roi_loss(logits, deltas, gt_labels, gt_deltas)
    full = roi_loss(logits.float(), deltas.float(), gt_labels, gt_deltas)
    assert all(value.dtype == torch.float32 for value in half)
    assert torch.equal(half.cls, full.cls)
    assert torch.equal(half.box, full.box)


def test_no_value_is_read_back_off_the_cpu() -> None:
    labels = torch.empty(30, device="meta", dtype=torch.int64)
    outputs = torch.empty(30, 5, device="meta"), torch.empty(30, 4, 4, device="meta")
    loss = roi_loss(*outputs, labels, torch.empty(30, 4, device="meta"))
    assert loss.cls.shape == loss.box.shape == ()
