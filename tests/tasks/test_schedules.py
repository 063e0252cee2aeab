"""Learning-rate factors, computed by hand."""

import math
from collections.abc import Callable

import pytest
import torch

from detection.tasks.schedules import Cosine, MultiStep, OneCycle, Schedule


def test_multistep_drops_at_its_milestones() -> None:
    schedule = MultiStep(milestones=(0.5, 0.75), gamma=0.1)
    factors = [schedule(step, 8) for step in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_published_milestones() -> None:
    schedule = MultiStep(milestones=(160 / 240, 200 / 240))
    per_epoch = 517
    total = 240 * per_epoch
    for epoch, expected in ((0, 1), (159, 1), (160, 0.1), (199, 0.1), (200, 0.01), (239, 0.01)):
        assert schedule(epoch * per_epoch + 1, total) == pytest.approx(expected)


def test_multistep_other_gamma_and_no_milestone() -> None:
    assert MultiStep((0.5,), gamma=0.5)(9, 10) == 0.5
    assert [MultiStep(())(step, 10) for step in (0, 5, 9)] == [1, 1, 1]


@pytest.mark.parametrize("milestones", [(160, 200), (-0.1,), (0.5, 1.5)])
def test_milestones_are_fractions(milestones: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="give fractions of the run"):
        MultiStep(milestones)


def test_warm_up_rises_in_a_line() -> None:
    schedule = MultiStep((0.5,), warmup_steps=4, warmup_factor=0.2)
    assert [schedule(step, 100) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert schedule(50, 100) == pytest.approx(0.1)


@pytest.mark.parametrize("total", [1, 2, 5, 9, 10, 20, 36, 100, 999, 5000])
@pytest.mark.parametrize(
    "schedule",
    [
        Cosine(warmup_steps=100),
        MultiStep((0.7,), warmup_steps=100),
        MultiStep((0.02, 0.5), warmup_steps=100),  # would drop within the warm-up
        MultiStep((1e-6,), warmup_steps=100, max_warmup=1),
    ],
)
def test_a_short_run_reaches_its_rate(schedule: Schedule, total: int) -> None:
    factors = [schedule(step, total) for step in range(total)]
    reached = max(factors)
    assert reached >= 0.97
    top = factors.index(reached)
    assert top <= 0.1 * total
    assert factors[:top] == sorted(factors[:top])


def test_warm_up_of_a_long_run_is_as_long_as_asked() -> None:
    schedule = Cosine(warmup_steps=100, warmup_factor=0.01)
    decay = [Cosine()(step, 1000) for step in range(1000)]
    for step in range(1000):
        warm = min(1.0, 0.01 + 0.99 * step / 100)
        assert schedule(step, 1000) == pytest.approx(warm * decay[step])


def test_a_share_of_the_run_for_the_warm_up() -> None:
    schedule = MultiStep((), warmup_steps=100, warmup_factor=0, max_warmup=0.5)
    assert [schedule(step, 8) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert MultiStep((), warmup_steps=100, max_warmup=0)(0, 8) == 1


@pytest.mark.parametrize(
    "make", [lambda share: Cosine(max_warmup=share), lambda share: MultiStep((), max_warmup=share)]
)
@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(make: Callable[[float], Schedule], share: float) -> None:
    with pytest.raises(ValueError, match=r"scheduler\.max_warmup"):
        make(share)


def test_cosine_by_hand() -> None:
    schedule = Cosine(final_factor=0.1)
    # 101 steps: a quarter, a half and three quarters of the way down.
    assert schedule(0, 101) == pytest.approx(1)
    assert schedule(25, 101) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)
    assert schedule(50, 101) == pytest.approx(0.55)
    assert schedule(75, 101) == pytest.approx(0.1 + 0.9 * (1 - math.sqrt(0.5)) / 2)
    assert schedule(100, 101) == pytest.approx(0.1)
    assert schedule(101, 101) == pytest.approx(0.1)  # the scheduler asks once more after the last step


def test_cosine_warm_up() -> None:
    schedule = Cosine(final_factor=0, warmup_steps=10, warmup_factor=0.5)
    assert schedule(0, 101) == pytest.approx(0.5)
    assert schedule(5, 101) == pytest.approx(0.75 * (1 + math.cos(math.pi * 0.05)) / 2)
    assert schedule(50, 101) == pytest.approx(0.5)


@pytest.mark.parametrize(("total", "peak"), [(10, 0.3), (40, 0.3), (1000, 0.3), (60, 0.5), (50, 0.1)])
def test_one_cycle_is_torchs(total: int, peak: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, pct_start=peak, cycle_momentum=False
    )
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < total:
            torchs.step()
    schedule = OneCycle(peak=peak)
    assert [schedule(step, total) for step in range(total)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 5, 7, 33, 101])
@pytest.mark.parametrize("peak", [0.0, 0.3, 0.77, 1.0])
def test_one_cycle_rises_to_its_rate_and_falls(total: int, peak: float) -> None:
    factors = [OneCycle(peak)(step, total) for step in range(total + 1)]  # once more after the last step
    top = factors.index(1.0)
    assert abs(top - peak * total) <= 1.5
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    if top < total - 1:
        assert factors[total - 1] == factors[total] == pytest.approx(4e-6)


@pytest.mark.parametrize("schedule", [Cosine(), MultiStep((0.5,)), OneCycle()])
def test_a_run_of_one_step(schedule: Schedule) -> None:
    assert schedule(0, 1) == pytest.approx(1)


def test_with_torchs_scheduler() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.02)
    schedule = MultiStep((0.5,), warmup_steps=2, warmup_factor=0.5, max_warmup=0.4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, 6))
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.01, 0.015, 0.02, 0.002, 0.002, 0.002])
