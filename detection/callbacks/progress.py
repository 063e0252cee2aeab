"""Progress for people: a live bar on a terminal, plain lines in a log file."""

import math
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar


def progress_bar(seconds: float = 10.0) -> ProgressBar:
    """A live bar where standard output is a terminal, else :class:`PlainProgress`.

    Args:
        seconds: time between two plain lines.
    """
    return RichProgressBar() if sys.stdout.isatty() else PlainProgress(seconds)


class PlainProgress(ProgressBar):
    """Prints a line every few seconds, and one after each evaluation. Fit for logs: nothing is redrawn.

    Args:
        seconds: time between two lines.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._started = self._printed = 0.0
        self._steps_before = 0
        self._enabled = True

    def enable(self) -> None:
        """Print."""
        self._enabled = True

    def disable(self) -> None:
        """Print nothing; the trainer asks for this on all processes but the first."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = self._printed = time.monotonic()
        self._steps_before = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print epoch, step, loss and the time left."""
        now = time.monotonic()
        last = batch_idx + 1 == self.total_train_batches
        if now - self._printed < self.seconds and not last:
            return
        self._printed = now
        done = trainer.global_step - self._steps_before
        # The schedule knows which share is done where earlier steps had another batch.
        schedule = trainer.lr_scheduler_configs[0].scheduler if trainer.lr_scheduler_configs else None
        place = schedule.last_epoch if schedule else trainer.global_step
        left = (trainer.estimated_stepping_batches - place) * (now - self._started) / max(done, 1)
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("train/loss")}
        shown = "  ".join(f"{k.removeprefix('train/')} {v:.3f}" for k, v in losses.items())
        parts = trainer.accumulate_grad_batches  # of a step
        self._line(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {batch_idx // parts + 1}/"
            f"{math.ceil(self.total_train_batches / parts)}  {shown}  about {_duration(left)} left",
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the validation figures."""
        if not trainer.sanity_checking:
            self._figures(trainer, "val")

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Print how far the test is."""
        now = time.monotonic()
        if now - self._printed >= self.seconds:
            self._printed = now
            self._line(f"test  batch {batch_idx + 1}/{trainer.num_test_batches[dataloader_idx]}")

    def _figures(self, trainer: pl.Trainer, stage: str) -> None:
        metrics = trainer.callback_metrics
        names = [f"{stage}/{name}" for name in ("map", "loss") if f"{stage}/{name}" in metrics]
        self._line("  ".join(f"{name} {float(metrics[name]):.4f}" for name in names))

    def _line(self, text: str) -> None:
        if self._enabled:
            print(text, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
