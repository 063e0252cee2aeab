"""Progress for people: one line per epoch that stays, and until then a live bar or plain lines."""

import math
import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from rich.progress import BarColumn

from detection.callbacks.best_checkpoint import BestCheckpoint
from detection.callbacks.mean_losses import LossGrowth, MeanLosses
from detection.system.console import plain_console, tell


def progress_bar(seconds: float = 10.0) -> ProgressBar:
    """A live bar on a terminal that can redraw a line, else :class:`PlainProgress`.

    Args:
        seconds: time between two plain lines.
    """
    can_redraw = sys.stdout.isatty() and not plain_console().is_dumb_terminal
    return LiveProgress() if can_redraw else PlainProgress(seconds)


class PlainProgress(ProgressBar):
    """Prints a line every few seconds, and one after each epoch. Fit for logs: nothing is redrawn.

    The line of an epoch has the means of its losses, the learning rate of its last step, the metrics of its
    validation, the best so far, and the time left. It goes to the run's log, too.

    Args:
        seconds: time between two lines within an epoch.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._started = self._printed = 0.0
        self._steps_before = 0
        self._validated = False  # since the last line of an epoch
        self._enabled = True
        self._growth = LossGrowth()
        self.losses = MeanLosses()

    @property
    def state_key(self) -> str:
        """One for both, since a run may be resumed in a terminal that it did not begin in."""
        return "progress"

    def state_dict(self) -> dict[str, Any]:
        """The losses of the epoch so far."""
        return self.losses.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume the epoch."""
        self.losses.load_state_dict(state_dict)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Start the clock."""
        super().setup(trainer, pl_module, stage)
        self._printed = time.monotonic()

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
        self.losses = MeanLosses()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print epoch, step, the mean losses of the epoch so far and the time left."""
        last = batch_idx + 1 == self.total_train_batches
        parts = trainer.accumulate_grad_batches  # of a step; what is logged after the last is that of all
        if last or (batch_idx + 1) % parts == 0:
            self.losses.add(trainer.callback_metrics)
        if not last and self._is_time():  # the line of the epoch comes soon after the last one
            steps = f"{batch_idx // parts + 1}/{math.ceil(self.total_train_batches / parts)}"
            self._line(
                f"epoch {_epoch(trainer)}  step {steps}  {self.losses.describe(True)}  {self._left(trainer)}"
            )

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Print how far the validation is."""
        if not trainer.sanity_checking and self._is_time():
            self._line(f"epoch {_epoch(trainer)}  validation batch {batch_idx + 1}/{_count(trainer, 'val')}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the metrics of a validation in the middle of an epoch (``trainer.val_check_interval``)."""
        self._validated = not trainer.sanity_checking
        if self._validated and not trainer.is_last_batch and trainer.state.fn == "fit":
            self._line(f"epoch {_epoch(trainer)}  " + "  ".join(_validation(trainer)), kept=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of the epoch, and log its mean losses as ``train/mean_loss`` and so on."""
        means = self.losses.so_far()
        pl_module.log_dict({name.replace("/", "/mean_", 1): mean for name, mean in means.items()})
        rates = [float(rate) for name, rate in trainer.callback_metrics.items() if name.startswith("lr-")]
        rate = [f"lr {rate:.3g}" for rate in rates[:1]]
        metrics = _validation(trainer) if self._validated else []
        self._validated = False
        ends = f"epoch {_epoch(trainer)}", self._left(trainer)
        room = plain_console().width if sys.stdout.isatty() else math.inf
        for with_parts, number in ((True, 2), (True, 1), (False, 2), (False, 1)):  # of losses, of metrics
            losses = self.losses.describe(with_parts)
            line = "  ".join([ends[0], losses, *rate, *metrics[:number], ends[1]])
            if len(line) <= room:
                break
        self._line(line, kept=True)
        if told := self._growth.look(means.get("train/loss", math.nan), rates[0] if rates else math.nan):
            self._line(told, kept=True)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Print how far the test is."""
        if self._is_time():
            self._line(f"test batch {batch_idx + 1}/{_count(trainer, 'test')}")

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._printed < self.seconds:
            return False
        self._printed = now
        return True

    def _left(self, trainer: pl.Trainer) -> str:
        done = trainer.global_step - self._steps_before
        # The schedule knows which share is done where earlier steps had another batch.
        schedule = trainer.lr_scheduler_configs[0].scheduler if trainer.lr_scheduler_configs else None
        place = schedule.last_epoch if schedule else trainer.global_step
        passed = time.monotonic() - self._started
        left = (trainer.estimated_stepping_batches - place) * passed / max(done, 1)
        return f"{_duration(left)} left"

    def _line(self, text: str, kept: bool = False) -> None:
        if not self._enabled:
            return
        if kept:
            tell(text)
        else:
            print(text, flush=True)


class LiveProgress(RichProgressBar):
    """A bar that is redrawn, and above it what :class:`PlainProgress` prints at the end of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = PlainProgress(math.inf)

    @property
    def state_key(self) -> str:
        """That of the lines."""
        return self._lines.state_key

    def state_dict(self) -> dict[str, Any]:
        """That of the lines."""
        return self._lines.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """That of the lines."""
        self._lines.load_state_dict(state_dict)

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
        """Redraw the bar."""
        self._lines.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the metrics of a validation in the middle of an epoch."""
        super().on_validation_end(trainer, pl_module)
        self._lines.on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of the epoch."""
        super().on_train_epoch_end(trainer, pl_module)
        self._lines.on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away: the lines say it all."""
        self._remove()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away, lest the metrics be printed above it."""
        super().on_test_end(trainer, pl_module)
        self._remove()

    def on_exception(self, *_: Any) -> None:
        """Take the bar away: where the run stopped is said in words."""
        self._remove()

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        mean = self._lines.losses.so_far().get("train/loss")
        return {} if mean is None else {"loss": mean}

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        """Lines that do not fill a narrow terminal: the ``^C`` of Ctrl-C would begin another."""
        columns: list[Any] = super().configure_columns(trainer)
        for column in columns:
            if isinstance(column, BarColumn):
                column.bar_width = max(8, min(40, plain_console().width - 72))
        return columns

    def _remove(self) -> None:
        if self.progress is not None:
            for task in self.progress.tasks:
                self.progress.update(task.id, visible=False)
        self._stop_progress()

    def _get_train_description(self, current_epoch: int) -> str:
        """Epochs are counted from 1, as everywhere else."""
        return f"Epoch {_epoch(self.trainer)}".ljust(len(self.validation_description))


def _epoch(trainer: pl.Trainer) -> str:
    """Which epoch, counted from 1, of how many, where there is an end."""
    number = trainer.current_epoch + 1
    return f"{number}/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else f"{number}"


def _count(trainer: pl.Trainer, stage: str) -> int | float:
    return sum(trainer.num_val_batches if stage == "val" else trainer.num_test_batches)


def _validation(trainer: pl.Trainer) -> list[str]:
    """``val mAP 0.512 (best 0.520 in 10)``, and ``val loss 3.214``."""
    metrics = trainer.callback_metrics
    told = []
    if "val/map" in metrics:
        told.append(f"val mAP {float(metrics['val/map']):.3f}{_best(trainer)}")
    if "val/loss" in metrics:
        told.append(f"val loss {float(metrics['val/loss']):.3f}")
    return told


def _best(trainer: pl.Trainer) -> str:
    """The best so far of what chooses the checkpoint, and its epoch."""
    best = trainer.checkpoint_callback
    if not isinstance(best, BestCheckpoint):
        return ""
    current, score = trainer.callback_metrics.get(str(best.monitor)), best.best_model_score
    if best.best_epoch == trainer.current_epoch + 1:
        return " (best)"
    # The checkpoint of an epoch may be written after its line.
    better = torch.gt if best.mode == "max" else torch.lt
    if current is not None and current.isfinite() and (score is None or better(current, score)):
        return " (best)"
    if best.best_epoch is None or score is None:
        return ""
    name = "" if best.monitor == "val/map" else f"{best.monitor} "
    return f" (best {name}{float(score):.3f} in {best.best_epoch})"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
