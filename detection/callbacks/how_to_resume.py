"""What to do when a run stops early."""

import sys
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from detection.checkpoints.runs import resume_command
from detection.system.endings import say, say_at_the_end
from detection.system.files import written_whole


class HowToResume(pl.Callback):
    """When a run stops by Ctrl-C, SIGTERM or an error, says what was kept and how to resume.

    Where a signal comes before the first checkpoint, the weights as they are go to ``stopped.ckpt``: no run
    resumes from there, but a new one may start from them.

    Args:
        checkpoint: what the run writes after each epoch.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = Path(checkpoint)
        self.stopped = self.checkpoint.with_name("stopped.ckpt")
        self._trainer: pl.Trainer | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Be ready."""
        self._trainer = trainer
        say_at_the_end(self.sentence)

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Say it."""
        # An error may have spoilt the weights.
        told = isinstance(exception, KeyboardInterrupt | SystemExit)
        if told and trainer.state.fn == "fit" and trainer.global_step and not self.checkpoint.exists():
            self._keep_weights(pl_module)
        say()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """What comes after is not stopped midway."""
        self._trainer = None

    def sentence(self) -> str:
        """What is kept, and what to type."""
        trainer = self._trainer
        lines = []
        if trainer is not None and trainer.state.fn != "fit":
            lines.append("Stopped in the test.")
        elif trainer is not None and trainer.current_epoch == trainer.max_epochs:
            lines.append("Stopped after the last epoch.")
        elif trainer is not None:
            lines.append(f"Stopped in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}.")
        if self.checkpoint.exists():
            command = resume_command(sys.argv, str(self.checkpoint))
            lines.append(f"Kept: {self.checkpoint}{_epochs_of(self.checkpoint)}. To resume:\n  {command}")
        elif self.stopped.exists():
            command = resume_command(sys.argv, str(self.stopped), "init_from")
            lines.append(
                "No epoch is complete, so there is nothing to resume from. The weights as they are were "
                f"kept; to start from them:\n  {command}"
            )
        elif others := sorted(self.checkpoint.parent.glob("*.ckpt")):  # the disk was full at last
            command = resume_command(sys.argv, str(others[0]), "init_from")
            lines.append(f"Kept: {others[0]}. To start from its weights:\n  {command}")
        else:
            lines.append("Nothing was kept yet: the first checkpoint is written after an epoch.")
        return "\n".join(lines)

    def _keep_weights(self, task: pl.LightningModule) -> None:
        content = {"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}
        self.stopped.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.stopped) as written:
            torch.save(content, written)


def _epochs_of(checkpoint: Path) -> str:
    """Up to where a checkpoint goes; what it tells itself is true whenever the run was stopped."""
    for _ in range(3):  # a process that loaded images and is gone may raise an error here, by its signal
        with suppress(Exception):
            epoch = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["epoch"]
            return f", up to the end of epoch {epoch + 1}"
    return ""  # it cannot be read, which resuming will tell
