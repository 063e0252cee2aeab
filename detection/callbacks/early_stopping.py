"""An end of the training that says why."""

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStopping as LightningEarlyStopping
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.utilities import rank_zero_only

from detection.system.wording import counted


class EarlyStopping(LightningEarlyStopping):
    """Ends the training when a metric no longer gets better, and says so.

    A metric that is undefined because there is nothing to find does not end it. A resumed run keeps the
    patience it is given now, not the one it began with.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep counting."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self.stopping_reason, self.stopping_reason_message = EarlyStoppingReason.NOT_STOPPED, None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge, where validation follows every epoch."""
        if not self._undefined(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge, where validation is rarer or more frequent."""
        if not self._undefined(trainer):
            super().on_validation_end(trainer, pl_module)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why the training ended, or why it could not end early."""
        if self._undefined(trainer):
            print(f"No early end: {self.monitor} is undefined, since there is nothing to find.", flush=True)
        if self.stopping_reason == EarlyStoppingReason.NOT_STOPPED:
            return
        reason = self.stopping_reason_message
        if self.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
            reason = (
                f"{self.monitor} has not got better by more than {abs(self.min_delta):g} in "
                f"{counted(self.wait_count, 'validation')} (its best is {float(self.best_score):.4f}; "
                f"callbacks.early_stopping.patience={self.patience})"
            )
        elif self.stopping_reason == EarlyStoppingReason.NON_FINITE_METRIC:
            reason = f"{self.monitor} is no finite number"
        print(
            f"Ended early, after epoch {self.stopped_epoch + 1} of {trainer.max_epochs}: {reason}.",
            flush=True,
        )

    def _undefined(self, trainer: pl.Trainer) -> bool:
        """Whether the metric is the average precision of nothing; a loss that is nan is another matter."""
        metric = trainer.callback_metrics.get(self.monitor)
        return metric is not None and math.isnan(float(metric)) and "loss" not in self.monitor
