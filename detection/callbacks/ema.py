"""An exponential moving average of the weights."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Validates, tests and saves the moving average of the weights; training goes on with the weights.

    Early on the average forgets faster, so that the first random weights do not linger: update ``n`` keeps
    at most ``(1 + n) / (10 + n)`` of it. Checkpoints hold the averaged weights as the network's own, and the
    others beside them for resuming.

    Args:
        decay: share of the average that an update keeps, in the long run.

    Raises:
        ValueError: if ``decay`` is not between 0 and 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"callbacks.ema.decay={decay}: it must be between 0 and 1, such as 0.999.")

        def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
            updates = int(count)
            kept = min(decay, (1 + updates) / (10 + updates))
            if averages[0].is_floating_point():
                torch._foreach_lerp_(list(averages), list(weights), 1 - kept)
            else:  # counters of batch norms
                torch._foreach_copy_(list(averages), list(weights))

        super().__init__(multi_avg_fn=update)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep averaging where training resumes; a test has the averages already, as the network's own."""
        if trainer.state.fn == "fit":  # else Lightning, too, would put the weights in their place
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
