"""What is drawn in a step depends on the seed, the step and the process alone."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from detection.callbacks.reproducible import SeedSteps

Run = Callable[..., pl.Trainer]


class Drawn(pl.Callback):
    """What is drawn in each batch, by torch, Python and numpy."""

    def __init__(self) -> None:
        self.numbers: list[tuple[int, float, float]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, i: int
    ) -> None:
        drawn = random.random(), np.random.random()  # noqa: NPY002
        self.numbers.append((int(torch.randint(1 << 40, ())), *drawn))


def drawn(run: Run, seed: int, before: int) -> list[tuple[int, float, float]]:
    torch.manual_seed(before)
    callback = Drawn()
    run(SeedSteps(seed), callback, epochs=2, test=False, accumulate_grad_batches=2)
    return callback.numbers


def test_every_batch_draws_its_own_numbers_whatever_was_drawn_before(run: Run) -> None:
    numbers = drawn(run, seed=1, before=0)
    assert len(set(numbers)) == 6
    assert drawn(run, seed=1, before=77) == numbers
    assert set(drawn(run, seed=2, before=0)).isdisjoint(numbers)
