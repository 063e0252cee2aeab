"""Times of training and evaluation steps, as Lightning runs them."""

import time
from typing import Any

import pytorch_lightning as pl
import torch


class StepTimes(pl.Callback):
    """The seconds of each training or validation step, without the wait for its batch.

    A training step is from the batch on the device to the updated weights.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.images: list[int] = []
        self._start = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Start the clock."""
        self._begin(pl_module)

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Start the clock."""
        self._begin(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Stop the clock."""
        self._end(pl_module, batch)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Stop the clock."""
        self._end(pl_module, batch)

    def _begin(self, task: pl.LightningModule) -> None:
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        self._start = time.perf_counter()

    def _end(self, task: pl.LightningModule, batch: Any) -> None:
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        self.seconds.append(time.perf_counter() - self._start)
        self.images.append(len(batch.images))
