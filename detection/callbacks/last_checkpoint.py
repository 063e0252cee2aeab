"""The checkpoint that a run is resumed from, at the very optimizer step where it ended."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

from detection.bounds import Minutes, Positive
from detection.callbacks.safe_checkpoints import SafeCheckpointIO, finish_checkpoints
from detection.system import endings
from detection.system.files import place_for_others


class LastCheckpoint(ModelCheckpoint):
    """Keeps a run as it is after every epoch, within one from time to time, and where it is told to end.

    While a run trains, Ctrl-C, SIGTERM and the signal of Slurm's wait until the optimizer step is complete
    (:func:`detection.system.endings.wait_for_steps`). Then the first process writes the checkpoint, and the
    run ends. A limit of time (``trainer.max_time``) within an epoch leaves one of that step, too.

    A run that is resumed there loads, draws, counts and logs what the uninterrupted run would have, so its
    weights are the same at the end. Within an epoch the first process writes alone, and waits for no other.

    Args:
        dirpath: the folder of ``last.ckpt``.
        every_minutes: at most so long between two checkpoints, and a step; None for none within an epoch.
        every_n_steps: optimizer steps between two checkpoints within an epoch; None for none.
        every_n_epochs: epochs between two checkpoints at the end of one.
    """

    def __init__(
        self,
        dirpath: str,
        every_n_steps: Positive | None = None,
        every_n_epochs: Positive = 1,
        every_minutes: Minutes | None = None,
    ) -> None:
        super().__init__(
            dirpath,
            "last",
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.every_n_steps, self.every_minutes = every_n_steps, every_minutes
        self._written_at = 0  # so many steps
        self._written_when = 0.0  # seconds of the clock
        self._validated_at = 0

    @property
    def state_key(self) -> str:
        """Lightning's own, so that runs which began with that one know their files."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on, signals wait for the end of a step, and what is kept here is this run's."""
        super().on_train_start(trainer, pl_module)
        # Now all processes have read what they begin with, which may be one of these.
        if trainer.ckpt_path is None and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _set_aside(Path(str(self.dirpath)))
        self._written_at, self._written_when = trainer.global_step, time.monotonic()
        endings.wait_for_steps(True)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write what the step before has left, logged by now, where that is due or the run is to end."""
        if batch_idx % trainer.accumulate_grad_batches:
            return  # in the middle of a step
        if isinstance(checkpoint_io := trainer.strategy.checkpoint_io, SafeCheckpointIO):
            checkpoint_io.raise_if_failed()
        steps = trainer.global_step
        due = self.every_n_steps is not None and steps % self.every_n_steps == 0
        if self.every_minutes is not None:
            due |= time.monotonic() - self._written_when >= 60 * self.every_minutes
        # The best checkpoint may be a new one, which the run must know that is resumed beside it.
        due |= self._validated_at == steps
        if due and steps > self._written_at:
            self._write(trainer)
        self._end_if_told(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let a run be validated at its end, too, wherever in an epoch or between two validations that is."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        is_last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if is_last or trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates then, as at a limit of time
            trainer.check_val_every_n_epoch = 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the validation to the resumed run where this one is to end."""
        # One that is done again counts a batch more than there are: it would seem to be unfinished.
        counts: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
        counts.ready = counts.started = counts.processed
        self._end_if_told(trainer)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Leave the validation to the resumed run where this one is to end."""
        if endings.told():
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):  # the average is in the place of the weights
                    callback.on_validation_epoch_end(trainer, pl_module)
            self._end_if_told(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that this step is validated."""
        if not trainer.sanity_checking:
            self._validated_at, self._written_at = trainer.global_step, -1
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the epoch has left; what a part of one has where ``trainer.max_time`` has ended it."""
        _log_epoch(trainer)
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        if progress.processed == trainer.num_training_batches:
            super().on_train_epoch_end(trainer, pl_module)
            self._written_at, self._written_when = self._last_global_step_saved, time.monotonic()
        else:
            self._write(trainer)
        self._end_if_told(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last checkpoint; from here on, signals end the run at once."""
        super().on_train_end(trainer, pl_module)
        finish_checkpoints(trainer)
        trainer.strategy.barrier()  # all test the best one, which the first process writes
        endings.wait_for_steps(False)
        if endings.told():  # since the last step was kept
            endings.raise_if_told()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let signals end the process at once."""
        endings.wait_for_steps(False)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let signals end the process at once."""
        endings.wait_for_steps(False)

    def _end_if_told(self, trainer: pl.Trainer) -> None:
        if endings.told():
            if self._written_at != trainer.global_step and trainer.global_step:
                self._write(trainer)
            finish_checkpoints(trainer)
            endings.raise_if_told()

    def _write(self, trainer: pl.Trainer) -> None:
        """Keep the run as it was when the last step was complete."""
        self._written_at, self._written_when = trainer.global_step, time.monotonic()
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        state = trainer.lightning_module.state_dict().values()
        if not torch.stack([weights.isfinite().all() for weights in state]).all():
            return  # callbacks.bad_loss will say so
        path = Path(str(self.dirpath)) / f"{self.filename}{self.FILE_EXTENSION}"
        self.best_model_path = str(path)  # as Lightning calls the only one
        with _as_after_the_step(trainer, validated=self._validated_at == trainer.global_step):
            checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        trainer.strategy.save_checkpoint(checkpoint, path)


def _set_aside(folder: Path) -> None:
    """Moves the checkpoints of another run, in whose folder this one begins, to ``before`` in that folder."""
    place = place_for_others(folder)
    for path in folder.glob("*.ckpt"):
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)


def _log_epoch(trainer: pl.Trainer) -> None:
    """Log what an epoch has left before it is kept: from there on, no part of the run would log it.

    Lightning does so later in the same way, and then finds nothing left to log.
    """
    connector, loop = trainer._logger_connector, trainer.fit_loop.epoch_loop
    connector.callback_metrics  # noqa: B018  # takes them up, for whoever looks for them later
    loop._batches_that_stepped -= 1  # as Lightning: at the last step, though that is counted
    connector.update_train_epoch_metrics()
    loop._batches_that_stepped += 1


@contextmanager
def _as_after_the_step(trainer: pl.Trainer, validated: bool) -> Iterator[None]:
    """Let the loops be, while a checkpoint is made, as the end of the last step has left them.

    Lightning means to save elsewhere: after the last batch and before it is logged, or at the end of an
    epoch. From what is made here it resumes with the next batch, or with the validation that is due.

    Args:
        trainer: between two steps; maybe in a validation, or where an epoch has ended early.
        validated: whether the validation that follows the last step, if any, is done.
    """
    epochs, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
    kept = epochs.epoch_progress, loop.batch_progress, loop.val_loop.batch_progress
    logged = loop._batches_that_stepped
    progress: Any = deepcopy(kept)  # of any kind: Lightning's types do not say which counts there are
    epoch, batch, evaluated = progress
    for counts in (epoch.total, epoch.current):
        counts.processed = counts.completed = counts.started - 1
        counts.ready = counts.started
    for counts in (batch.total, batch.current):
        counts.ready = counts.started = counts.completed = counts.processed
    batch.is_last_batch = batch.current.processed == trainer.num_training_batches
    due = _validates_after(trainer, batch)
    for counts in (evaluated.total, evaluated.current):
        counts.ready = counts.started = counts.completed = counts.processed
        if due and not validated:  # as if its first batch were not complete
            counts.ready, counts.started, counts.processed, counts.completed = 1, 1, 0, 0
    epochs.epoch_progress, loop.batch_progress, loop.val_loop.batch_progress = epoch, batch, evaluated
    # Lightning counts the step when the validation that it comes back to is done, or passed over.
    loop._batches_that_stepped = trainer.global_step - due
    try:
        yield
    finally:
        epochs.epoch_progress, loop.batch_progress, loop.val_loop.batch_progress = kept
        loop._batches_that_stepped = logged


def _validates_after(trainer: pl.Trainer, batch: Any) -> bool:
    """Whether a validation follows the last batch, by the settings of the run."""
    every = trainer.val_check_batch
    if every is None or math.isinf(every) or not trainer.fit_loop.epoch_loop._should_check_val_epoch():
        return False
    counts = batch.total if trainer.check_val_every_n_epoch is None else batch.current
    return bool(counts.processed and counts.processed % every == 0)
