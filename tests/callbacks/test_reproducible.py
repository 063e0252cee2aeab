"""What torch draws in an epoch depends on the seed, the epoch and the process alone."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from detection.callbacks.reproducible import SeedEpochs

Run = Callable[..., pl.Trainer]


class Drawn(pl.Callback):
    """What is drawn in the first step of each epoch."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, i: int
    ) -> None:
        if i == 0:
            self.numbers.append(int(torch.randint(1 << 40, ())))


def drawn(run: Run, seed: int, before: int) -> list[int]:
    torch.manual_seed(before)
    callback = Drawn()
    run(SeedEpochs(seed), callback, epochs=3, test=False)
    return callback.numbers


def test_every_epoch_draws_its_own_numbers_whatever_was_drawn_before(run: Run) -> None:
    numbers = drawn(run, seed=1, before=0)
    assert len(set(numbers)) == 3
    assert drawn(run, seed=1, before=77) == numbers
    assert set(drawn(run, seed=2, before=0)).isdisjoint(numbers)
