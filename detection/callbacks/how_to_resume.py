"""What to do when a run stops early."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.own_signals import announcing, queue_again
from detection.callbacks.safe_checkpoints import finish_checkpoints
from detection.callbacks.summary import ran_out_of_time
from detection.checkpoints.runs import resume_command
from detection.system.console import keep
from detection.system.endings import say, say_at_the_end, stopped_by, told
from detection.system.processes import is_job

_LIMIT = "trainer.max_time="


class HowToResume(pl.Callback):
    """When a run stops by a signal, an error or a limit of time, says what was kept and how to resume.

    How to resume one job of a sweep is not said: the sweep goes on as a whole. A job of Slurm's that was
    warned of its end is queued again.

    Args:
        checkpoint: what a run is resumed from.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = Path(checkpoint)
        self._trainer: pl.Trainer | None = None
        self._queued = ""
        self._was_written = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Have the sentence said when the run ends."""
        self._trainer = trainer
        say_at_the_end(self.sentence, names_signal=True)

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Say it, when what was saved is on the disk."""
        try:
            finish_checkpoints(trainer)
        except OSError:  # it is another error that ends the run
            self._was_written = False
        if (signal := told()) is not None and signal == announcing(trainer):
            self._queued = queue_again(trainer)
        say()
        keep(self.sentence())

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """What comes after is not stopped midway."""
        self._trainer = None
        if stage == "fit" and trainer.is_global_zero and ran_out_of_time(trainer):
            finish_checkpoints(trainer)
            words = [word for word in sys.argv if not word.lstrip("+").startswith(_LIMIT)]
            purpose = "To resume, without this limit or with a longer one, for it counts all parts of a run"
            kept = _kept(self.checkpoint, _reached_by(self.checkpoint), purpose, "ckpt", words)
            text = "\n".join(["Ended by trainer.max_time.", *kept])
            print(text, flush=True)
            keep(text)

    def sentence(self) -> str:
        """What is kept, and what to type."""
        by = ("" if is_job() else stopped_by()[:-1]) or "Stopped"
        place = self._place()
        lines = [f"{by} {place}."] if place else []
        lines += [self._queued] if self._queued else []
        if self.checkpoint.exists():
            lines += _kept(self.checkpoint, _reached_by(self.checkpoint), "To resume", "ckpt", sys.argv)
        elif others := sorted(self.checkpoint.parent.glob("*.ckpt")):  # the disk was full at last
            lines += _kept(others[0], "", "To start from its weights", "init_from", sys.argv)
        elif self._trainer is not None and not self._trainer.fit_loop.epoch_loop.batch_progress.total.ready:
            lines.append("Nothing was kept: no step had begun.")
        elif told() is not None and self._was_written:
            lines.append("Nothing was kept yet: the current step did not finish in time.")
        else:  # the error says why
            lines.append("Nothing was kept yet.")
        return "\n".join(lines)

    def _place(self) -> str:
        trainer = self._trainer
        if trainer is None:
            return ""
        if trainer.state.fn != "fit":
            return "in the test"
        if trainer.current_epoch == trainer.max_epochs:
            return "after the last epoch"
        return f"in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"


def _kept(checkpoint: Path, reached: str, purpose: str, key: str, words: Sequence[str]) -> list[str]:
    """What is kept, and the command that goes on with it; of a job of a sweep, the sweep says its own."""
    kept = f"Kept: {checkpoint}{reached}."
    if is_job():
        return [kept]
    return [kept, f"{purpose}:", f"  {resume_command(words, str(checkpoint), key)}"]


def _reached_by(checkpoint: Path) -> str:
    """Up to where a checkpoint goes; what it tells itself is true whenever the run was stopped."""
    for _ in range(3):  # a process that loaded images and is gone may raise an error here, by its signal
        with suppress(Exception):
            content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
            steps, epoch = content["global_step"], content["epoch"] + 1
            ended = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
            return f", up to step {steps:,}, {f'the end of epoch {epoch}' if ended else f'in epoch {epoch}'}"
    return ""  # it cannot be read, which resuming will tell
