"""The checkpoint with the best metric, where there is one."""

import math
import pickle
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from detection.checkpoints.best_of_run import is_next_best


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights with the best metric; none while the metric is undefined, as with nothing to find.

    Lightning's own keeps the first ones then, under the name of the best.
    """

    best_epoch: int | None = None
    """When the best weights were kept, counted from 1; None while there are none."""
    best_metrics: dict[str, float] | None = None
    """The metrics of their validation, ``val/ap/<class>`` among them."""
    metrics_before: dict[str, float] | None = None
    """Those of the best that they have replaced, or will where it is chosen anew; None for the first."""

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
                self.metrics_before = self.best_metrics or self.metrics_before
                self.best_epoch = trainer.current_epoch + 1
                self.best_metrics = {name: float(value) for name, value in metrics if name.startswith("val/")}
            return is_best
        if self.best_model_score is None:  # what Lightning, too, takes for undefined: the worst there is
            self.best_model_score = torch.tensor(-math.inf if self.mode == "max" else math.inf)
        return False

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        kept = {name: getattr(self, name) for name in ("best_epoch", "best_metrics", "metrics_before")}
        return {**super().state_dict(), **kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume. In another folder the best begins anew.

        A run that was killed after it had written its best and before its last has a best that the last does
        not know. What led to it is trained again, and the best stays.
        """
        super().load_state_dict(state_dict)
        if self.best_model_score is None:
            self.metrics_before = state_dict.get("metrics_before")
            return
        written = _written_state(self.best_model_path, self.state_key)
        known = written if is_next_best(written, state_dict) else state_dict
        self.best_epoch, self.best_metrics = known.get("best_epoch"), known.get("best_metrics")
        self.metrics_before = known.get("metrics_before")
        if known is written:
            self.best_model_score = self.kth_value = written["best_model_score"]
            self.best_k_models = {self.best_model_path: self.best_model_score}


def _written_state(path: str, key: str) -> dict[str, Any]:
    """What a best checkpoint says of itself; nothing where there is none, or it is none of ours."""
    try:
        states = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["callbacks"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        return {}
    state = states.get(key) if isinstance(states, dict) else None
    return state if isinstance(state, dict) else {}
