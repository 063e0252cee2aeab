"""A step cut into parts has the gradient, the losses and the result of the whole one."""

from functools import cache
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from detection.tasks.step_mean import StepMean
from tests.tasks.first_step import Gradients, KeepGradients, first_step

EXPERIMENTS = ("quickstart", "quickstart_faster_rcnn")


@cache
def whole_step(experiment: str, objects: str) -> tuple[KeepGradients, pl.LightningModule]:
    return first_step(experiment, objects)


def assert_close(ours: Gradients, expected: Gradients) -> None:
    assert ours.keys() == expected.keys()
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in expected.values())
    for name, value in expected.items():
        gradient = ours[name]
        if value is None:  # frozen
            assert gradient is None, name
            continue
        assert gradient is not None, name
        difference = (gradient - value).norm() / value.norm().clamp(min=1e-12)
        assert difference < 1e-5, f"{name}: {difference:.1e}"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("objects", ["on both", "on the first"])
@pytest.mark.parametrize("parts", [(1, 1, 1, 1), (1, 3)])
def test_parts_have_the_gradient_and_the_losses_of_the_whole(
    experiment: str, objects: str, parts: tuple[int, ...]
) -> None:
    expected, _ = whole_step(experiment, objects)
    ours, _ = first_step(experiment, objects, parts)
    assert_close(ours.gradients, expected.gradients)
    assert ours.losses == pytest.approx(expected.losses, rel=1e-5)
    assert ours.losses["train/loss"] > 0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_group_that_the_epoch_cuts_short_is_a_step_of_its_own(experiment: str) -> None:
    """Four parts make a step, but there are only two: neither scaled down nor up."""
    expected, _ = whole_step(experiment, "on both")
    ours, _ = first_step(experiment, "on both", (2, 2, 0, 0), limit_train_batches=2)
    assert_close(ours.gradients, expected.gradients)


def half_precision() -> pl.plugins.MixedPrecision:
    """A gradient scaler as on a GPU, over the arithmetic of float32."""
    plugin = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    plugin.autocast_context_manager = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign]
    return plugin


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("scaled", [False, True])
def test_clipping_and_a_gradient_scaler_see_the_whole_step(experiment: str, scaled: bool) -> None:
    def weights(parts: tuple[int, ...]) -> tuple[KeepGradients, dict[str, Tensor]]:
        options: dict[str, Any] = {"plugins": half_precision()} if scaled else {}
        kept, task = first_step(experiment, "on both", parts, gradient_clip_val=0.01, **options)
        return kept, {name: p.detach() for name, p in task.named_parameters()}

    (whole, expected), (cut, ours) = weights((4,)), weights((1, 3))
    assert_close(cut.gradients, whole.gradients)
    assert_close(whole.gradients, whole_step(experiment, "on both")[0].gradients)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_what_was_dropped_between_parts_does_not_count() -> None:
    """As where the step of a bad loss is skipped: the parts after it are a step of their own."""
    weight, step = nn.Parameter(torch.tensor(2.0)), StepMean()

    def part(value: float, count: float) -> dict[str, Tensor]:
        loss = weight * value
        share, means = step.add({"loss": loss}, torch.tensor(count), [weight], lambda x, reduce_op: x)
        (loss * share).backward()
        return means

    step.begin()
    part(7.0, 3.0)
    weight.grad = None
    part(1.0, 1.0)
    means = part(4.0, 2.0)
    torch.testing.assert_close(weight.grad, torch.tensor((1 * 1 + 4 * 2) / 3))
    assert means["loss"].item() == pytest.approx(2 * (1 * 1 + 4 * 2) / 3)
    step.begin()
    weight.grad = None
    part(5.0, 0.0)
    torch.testing.assert_close(weight.grad, torch.tensor(0.0))  # not missing, and no division by zero
