"""Random numbers that do not depend on what ran before."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class SeedSteps(pl.Callback):
    """Seeds torch, numpy and Python before every batch, from the run's seed, the step and the process.

    What training draws for an image comes from that image's own seed. Whatever else draws from one of these
    generators (dropout, say, in a network of one's own) is seeded here, so that a run that was resumed, at
    whatever step, draws what the uninterrupted run would have drawn.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed."""
        part = batch_idx % trainer.accumulate_grad_batches
        entropy = np.random.SeedSequence([self.seed, trainer.global_step, part, trainer.global_rank])
        number = int(entropy.generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002 - a network of somebody's may draw from it
