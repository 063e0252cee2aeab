"""The learning rate among the logged metrics."""

from typing import Any

import pytorch_lightning as pl
import torch


class LogLearningRate(pl.Callback):
    """Logs the learning rate of each optimizer step as ``lr-SGD``, by the optimizer's name.

    Of groups with rates of their own it is the first one's, which is the configured rate.
    """

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Log the rate that the coming step is taken at."""
        optimizer = trainer.optimizers[0]
        # In float32, 0.001 would be logged as 0.0010000000475.
        rate = torch.tensor(optimizer.param_groups[0]["lr"], dtype=torch.float64)
        pl_module.log(f"lr-{type(optimizer).__name__}", rate)
