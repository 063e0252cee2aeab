"""What to do when a run stops early."""

import sys
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from detection.runs import command_to_go_on


class HowToGoOn(pl.Callback):
    """When training stops by Ctrl-C or an error, says what was kept and how to go on.

    Args:
        checkpoint: what the run writes after each epoch.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = Path(checkpoint)

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Print it."""
        if trainer.state.fn != "fit":
            return
        print(f"\nStopped in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}.", file=sys.stderr)
        if self.checkpoint.exists():
            command = command_to_go_on(sys.argv, str(self.checkpoint))
            print(f"The epochs before are kept. To go on:\n  {command}", file=sys.stderr)
        else:
            print("Nothing was kept yet: the first checkpoint is written after an epoch.", file=sys.stderr)
