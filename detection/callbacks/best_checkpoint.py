"""The checkpoint with the best metric, where there is one."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights with the best metric; none while the metric is undefined, as with nothing to find.

    Lightning's own keeps the first ones then, under the name of the best.
    """

    best_epoch: int | None = None
    """When the best weights were kept, counted from 1; None while there are none."""
    best_metrics: dict[str, float] | None = None
    """The metrics of their validation, ``val/ap/<class>`` among them."""

    @property
    def state_key(self) -> str:
        """Lightning's own, so that runs which began with that one know their best."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether the weights are to be kept."""
        if current is None or not current.isnan():
            is_best = super().check_monitor_top_k(trainer, current)
            if is_best:
                metrics = trainer.callback_metrics.items()
                self.best_epoch = trainer.current_epoch + 1
                self.best_metrics = {name: float(value) for name, value in metrics if name.startswith("val/")}
            return is_best
        if self.best_model_score is None:  # what Lightning, too, takes for undefined: the worst there is
            self.best_model_score = torch.tensor(-math.inf if self.mode == "max" else math.inf)
        return False

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return {**super().state_dict(), "best_epoch": self.best_epoch, "best_metrics": self.best_metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume. In another folder the best begins anew."""
        super().load_state_dict(state_dict)
        if self.best_model_score is not None:
            self.best_epoch = state_dict.get("best_epoch")
            self.best_metrics = state_dict.get("best_metrics")
