"""The middle between the weights that a training started from and those it arrived at."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

FIRST_WEIGHTS = "wise_ft_start"
"""The key of a checkpoint."""


class WiseFT(WeightAveraging):
    """Validates, tests and saves weights between the first and the present ones; training is not changed.

    A short training on few images forgets some of what the many images of the first one taught; a part of
    the way back keeps most of both (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    Averaged is what ``init_from`` brought, but for the predictors of classes, which are those of the present:
    new classes have no first ones, and averaging the others did not pay. Checkpoints hold the averaged
    weights as the network's own, and the others beside them for resuming.

    Args:
        alpha: share of the present weights.

    Raises:
        ValueError: if ``alpha`` is not between 0 and 1.
    """

    def __init__(self, alpha: float = 0.8) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"callbacks.wise_ft.alpha={alpha}: it must be between 0 and 1, such as 0.8.")
        super().__init__()
        self.alpha = alpha
        self._start: dict[str, Tensor] = {}

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Never after a step: the average needs no history, it is made when it is looked at."""
        return False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep the weights that the training starts from."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            names: frozenset[str] = pl_module.started_from  # type: ignore[assignment]
            state = pl_module.state_dict()
            self._start = {name: state[name].clone() for name in names if state[name].is_floating_point()}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in the place of the present weights."""
        self._average(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End with the average."""
        self._average(pl_module)
        super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average, the present weights, and the first ones."""
        self._average(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint[FIRST_WEIGHTS] = self._start

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Resume where training resumes, with the same first weights."""
        if trainer.state.fn != "fit":  # a test has the average already, as the network's own
            return
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self._start = {name: value.to(pl_module.device) for name, value in checkpoint[FIRST_WEIGHTS].items()}

    @torch.no_grad()
    def _average(self, pl_module: pl.LightningModule) -> None:
        if self._average_model is None:  # not in a training
            return
        averages = self._average_model.module.state_dict()
        for name, present in pl_module.state_dict().items():
            if name in self._start:
                torch.lerp(self._start[name].to(present.device), present, self.alpha, out=averages[name])
            else:
                averages[name].copy_(present)
