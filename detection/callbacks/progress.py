"""Progress for people: a live bar on a terminal, plain lines in a log file."""

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from torch import Tensor

from detection.system.console import plain_console


def progress_bar(seconds: float = 10.0) -> ProgressBar:
    """A live bar on a terminal that can redraw a line, else :class:`PlainProgress`.

    Args:
        seconds: time between two plain lines.
    """
    can_redraw = sys.stdout.isatty() and not plain_console().is_dumb_terminal
    return LiveProgress() if can_redraw else PlainProgress(seconds)


class _MeanLosses:
    """The means of the training losses over an epoch so far; those of a single step are mostly chance."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Take up a step. Nothing waits for the device."""
        for name, value in metrics.items():
            if name.startswith("train/loss"):
                finite = value.isfinite()  # else callbacks.bad_loss has passed over the step
                self._sums[name] = self._sums.get(name, 0) + value.where(finite, 0)
                self._counts[name] = self._counts.get(name, 0) + finite.long()

    def so_far(self) -> dict[str, float]:
        """The means, by the names of the losses."""
        return {name: float(total / self._counts[name]) for name, total in self._sums.items()}

    def __str__(self) -> str:
        means = {name.removeprefix("train/loss"): f"{mean:.3f}" for name, mean in self.so_far().items()}
        total = means.pop("", "")
        parts = ", ".join(f"{name.removeprefix('_')} {mean}" for name, mean in means.items())
        return f"mean loss {total}" + (f" ({parts})" if parts else "")


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
        self.losses = _MeanLosses()

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

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Each epoch has its own means."""
        self.losses = _MeanLosses()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print epoch, step, the mean losses of the epoch so far and the time left."""
        now = time.monotonic()
        last = batch_idx + 1 == self.total_train_batches
        parts = trainer.accumulate_grad_batches  # of a step; what is logged after the last is that of all
        if last or (batch_idx + 1) % parts == 0:
            self.losses.add(trainer.callback_metrics)
        if now - self._printed < self.seconds and not last:
            return
        self._printed = now
        done = trainer.global_step - self._steps_before
        # The schedule knows which share is done where earlier steps had another batch.
        schedule = trainer.lr_scheduler_configs[0].scheduler if trainer.lr_scheduler_configs else None
        place = schedule.last_epoch if schedule else trainer.global_step
        left = (trainer.estimated_stepping_batches - place) * (now - self._started) / max(done, 1)
        self._line(
            f"epoch {_epoch(trainer.current_epoch, trainer)}  step {batch_idx // parts + 1}/"
            f"{math.ceil(self.total_train_batches / parts)}  {self.losses}  {_duration(left)} left",
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the validation metrics."""
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


class LiveProgress(RichProgressBar):
    """A bar that is redrawn, and above it what :class:`PlainProgress` prints at the end of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = PlainProgress(math.inf)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Be ready."""
        super().setup(trainer, pl_module, stage)
        self._lines.setup(trainer, pl_module, stage)

    def disable(self) -> None:
        """Show nothing; the trainer asks for this on all processes but the first."""
        super().disable()
        self._lines.disable()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._lines.on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a bar."""
        self._lines.on_train_epoch_start(trainer, pl_module)
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the bar, and after the last batch print the epoch's line."""
        self._lines.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the validation metrics."""
        super().on_validation_end(trainer, pl_module)
        self._lines.on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away: the lines say it all."""
        self._remove()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away, lest the metrics be printed above it."""
        super().on_test_end(trainer, pl_module)
        self._remove()

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        mean = self._lines.losses.so_far().get("train/loss")
        return {} if mean is None else {"mean loss": mean}

    def _remove(self) -> None:
        if self.progress is not None:
            for task in self.progress.tasks:
                self.progress.update(task.id, visible=False)
        self._stop_progress()

    def _get_train_description(self, current_epoch: int) -> str:
        """Epochs are counted from 1, as everywhere else."""
        return f"Epoch {_epoch(current_epoch, self.trainer)}".ljust(len(self.validation_description))


def _epoch(number: int, trainer: pl.Trainer) -> str:
    """Which epoch, counted from 1, of how many, where there is an end."""
    return f"{number + 1}/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else f"{number + 1}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
