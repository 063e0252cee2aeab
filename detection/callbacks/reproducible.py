"""Random numbers that do not depend on what ran before."""

import numpy as np
import pytorch_lightning as pl
import torch


class SeedEpochs(pl.Callback):
    """Seeds torch at the start of every epoch, from the run's seed, the epoch and the process.

    What training draws for an image comes from that image's own seed. Whatever else draws from torch's
    generator (dropout, say, in a network of one's own) is seeded here, so that a run that was resumed draws
    what the uninterrupted run would have drawn.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed."""
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
