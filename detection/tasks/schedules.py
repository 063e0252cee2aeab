"""Learning-rate schedules: the factor on the base rate at each optimizer step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from detection.bounds import Natural, Share


class Schedule(Protocol):
    """A learning-rate schedule over a run of any length."""

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the factor on the base learning rate at optimizer step ``step``, counted from 0."""


def _warmup(step: int, steps: int, start: float) -> float:
    return 1.0 if step >= steps else start + (1 - start) * step / steps


def _refuse_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"scheduler.max_warmup={share}: give a share of the run, 0 to 1.")


@dataclass
class MultiStep:
    """Multiply the rate by ``gamma`` at each milestone.

    Args:
        milestones: where the rate drops, as fractions of the run: epochs 160 and 200 of 240 are 2/3 and 5/6.
        gamma: the factor of each drop.
        warmup_steps: length of a linear warm-up, in optimizer steps; in a short run at most ``max_warmup`` of
            it, and over before the first milestone, so that the run reaches its learning rate.
        warmup_factor: where the warm-up starts, as a factor on the base rate.
        max_warmup: the largest share of the run that may be warm-up.

    Raises:
        ValueError: when a milestone or ``max_warmup`` is not between 0 and 1.
    """

    milestones: Sequence[float]
    gamma: Share = 0.1
    warmup_steps: Natural = 0
    warmup_factor: Share = 1 / 3
    max_warmup: float = 0.1

    def __post_init__(self) -> None:
        _refuse_share(self.max_warmup)
        if any(not 0 <= milestone <= 1 for milestone in self.milestones):
            raise ValueError(
                f"scheduler.milestones={list(self.milestones)}: give fractions of the run, 0 to 1 "
                "(epoch 160 of 240 is 0.6667)."
            )

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the factor at optimizer step ``step``."""
        drops = [math.ceil(milestone * total_steps) for milestone in self.milestones]
        passed = sum(step >= drop for drop in drops)
        # A milestone at 0 leaves no time before it: the reduced rate is then the highest of the run.
        before_drops = [drop - 1 for drop in drops if drop > 0]
        steps = min(self.warmup_steps, int(self.max_warmup * total_steps), *before_drops)
        return _warmup(step, steps, self.warmup_factor) * self.gamma**passed


@dataclass
class Cosine:
    """Follow half a cosine from the base rate down to ``final_factor`` of it, at the last step.

    Args:
        final_factor: the rate at the end, as a factor on the base rate.
        warmup_steps: length of a linear warm-up, in optimizer steps; in a short run at most ``max_warmup`` of
            it, so that the run reaches its learning rate (with the default, 0.97 of it or more).
        warmup_factor: where the warm-up starts, as a factor on the base rate.
        max_warmup: the largest share of the run that may be warm-up.

    Raises:
        ValueError: when ``max_warmup`` is not between 0 and 1.
    """

    final_factor: Share = 0.01
    warmup_steps: Natural = 0
    warmup_factor: Share = 0.01
    max_warmup: float = 0.1

    def __post_init__(self) -> None:
        _refuse_share(self.max_warmup)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the factor at optimizer step ``step``."""
        decay = _along_cosine(1.0, self.final_factor, step / max(total_steps - 1, 1))
        steps = min(self.warmup_steps, int(self.max_warmup * total_steps))
        return _warmup(step, steps, self.warmup_factor) * decay


@dataclass
class OneCycle:
    """Rise to the base rate along half a cosine, then fall along another to next to nothing (Smith 2018).

    The base rate is the highest of the run, and may be several times that of other schedules. Momentum stays
    as it is.

    Args:
        peak: the share of the run after which the base rate is reached.
        initial_factor: the rate at the first step, as a factor on the base rate.
        final_factor: the rate at the last step, likewise.
    """

    peak: Share = 0.3
    initial_factor: Share = 1 / 25
    final_factor: Share = 4e-6

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the factor at optimizer step ``step``."""
        top, last = max(round(self.peak * total_steps) - 1, 0), total_steps - 1
        if step < top:
            return _along_cosine(self.initial_factor, 1.0, step / top)
        return _along_cosine(1.0, self.final_factor, (step - top) / max(last - top, 1))


def _along_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
