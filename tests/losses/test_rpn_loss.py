"""The loss of the region proposal network: by hand, a naive loop, gradients, several processes."""

import math

import pytest
import torch
from torch import Tensor

from detection.losses.rpn import rpn_loss

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def random_case(seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 20, generator=generator) * 3
    deltas, gt_deltas = torch.randn(2, 3, 20, 4, generator=generator) * 0.3
    gt_labels = torch.randint(-1, 2, (3, 20), generator=generator)
    gt_labels[0] = gt_labels[0].clamp(max=0)  # an image without objects
    return logits, deltas, gt_labels, gt_deltas


def naive_loss(logits: Tensor, deltas: Tensor, gt_labels: Tensor, gt_deltas: Tensor) -> tuple[float, float]:
    """Loops over images and anchors, in plain Python floats; the mean over images."""
    cls, box = 0.0, 0.0
    for image, anchor in (gt_labels >= 0).nonzero().tolist():
        share = 1 / int((gt_labels[image] >= 0).sum()) / len(gt_labels)
        score = 1 / (1 + math.exp(-float(logits[image, anchor])))
        cls -= share * math.log(score if gt_labels[image, anchor] == 1 else 1 - score)
        if gt_labels[image, anchor] == 1:
            for error in (deltas[image, anchor] - gt_deltas[image, anchor]).abs().tolist():
                box += share * (error - 1 / 18 if error > 1 / 9 else error**2 * 9 / 2)
    return cls, box


def test_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3), 5.0, 0.0]])
    gt_labels = torch.tensor([[1, 0, -1, 0]])
    deltas = torch.zeros(1, 4, 4)
    gt_deltas = torch.full((1, 4, 4), 7.0)
    gt_deltas[0, 0] = torch.tensor([0.0, 1 / 18, 1 / 9, -2.0])
    loss = rpn_loss(logits, deltas, gt_labels, gt_deltas)
    # Scores 1/2, 3/4 and 1/2 of three sampled anchors; the one positive has four errors.
    assert loss.cls.item() == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 3, rel=1e-6)
    assert loss.box.item() == pytest.approx((0 + 1 / 72 + 1 / 18 + (2 - 1 / 18)) / 3, rel=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_equals_a_naive_loop(seed: int) -> None:
    case = random_case(seed)
    loss = rpn_loss(*case)
    cls, box = naive_loss(*case)
    assert loss.cls.item() == pytest.approx(cls, rel=1e-5)
    assert loss.box.item() == pytest.approx(box, rel=1e-5)


@pytest.mark.parametrize("label", [-1, 0])
def test_without_positives_every_input_still_has_a_gradient(label: int) -> None:
    logits, deltas = torch.randn(2, 9, requires_grad=True), torch.randn(2, 9, 4, requires_grad=True)
    loss = rpn_loss(logits, deltas, torch.full((2, 9), label), torch.zeros(2, 9, 4))
    assert loss.box.item() == 0
    assert (loss.cls.item() == 0) == (label == -1)
    # Raises where there is none.
    logits_grad, deltas_grad = torch.autograd.grad(loss.cls + loss.box, (logits, deltas))
    assert not deltas_grad.any()
    assert logits_grad.any() == (label == 0)


def test_only_sampled_anchors_have_gradients_and_they_are_finite() -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(3)
    logits, deltas = (logits * 1e4).requires_grad_(), (deltas * 1e4).requires_grad_()
    loss = rpn_loss(logits, deltas, gt_labels, gt_deltas)
    logits_grad, deltas_grad = torch.autograd.grad(loss.cls + loss.box, (logits, deltas))
    assert logits_grad.isfinite().all()
    assert deltas_grad.isfinite().all()
    assert not logits_grad[gt_labels < 0].any()
    assert not deltas_grad[gt_labels < 1].any()


def test_an_image_counts_the_same_whatever_it_is_batched_with() -> None:
    case = random_case(1)
    case[2][1] = -1  # nothing is sampled of the second image
    whole = torch.stack(rpn_loss(*case))
    alone = torch.stack([torch.stack(rpn_loss(*(value[i : i + 1] for value in case))) for i in range(3)])
    assert not alone[1].any()
    torch.testing.assert_close(whole, alone.mean(dim=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, gt_labels, gt_deltas = random_case(5)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = rpn_loss(logits, deltas, gt_labels, gt_deltas)
    full = rpn_loss(logits.float(), deltas.float(), gt_labels, gt_deltas)
    assert all(value.dtype == torch.float32 for value in half)
    assert torch.equal(half.cls, full.cls)
    assert torch.equal(half.box, full.box)


def test_no_value_is_read_back_off_the_cpu() -> None:
    labels = torch.empty(4, 30, device="meta", dtype=torch.int64)
    outputs = torch.empty(4, 30, device="meta"), torch.empty(4, 30, 4, device="meta")
    loss = rpn_loss(*outputs, labels, torch.empty(4, 30, 4, device="meta"))
    assert loss.cls.shape == loss.box.shape == ()
