"""The checkpoint with the best metric, where there is one."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights with the best metric; none while the metric is undefined, as with nothing to find.

    Lightning's own keeps the first ones then, under the name of the best.
    """

    @property
    def state_key(self) -> str:
        """Lightning's own, so that runs which began with that one know their best."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether the weights are to be kept."""
        if current is None or not current.isnan():
            return super().check_monitor_top_k(trainer, current)
        if self.best_model_score is None:  # what Lightning, too, takes for undefined: the worst there is
            self.best_model_score = torch.tensor(-math.inf if self.mode == "max" else math.inf)
        return False
