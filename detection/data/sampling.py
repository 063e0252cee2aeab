"""Which image comes when, and with which random state; on any number of processes and workers.

A training sample is named by an (index, seed) pair that the sampler draws from (seed, epoch) alone. The
worker that happens to load the sample only consumes the pair, so neither the number of workers nor the
number of processes changes what a sample looks like, and a resumed run sees what it would have seen.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch.utils.data import Dataset, Sampler

from detection.types import Sample

Key = tuple[int, int]
"""Index of a sample, and the seed of all that is drawn at random for it."""


class SeedableDataset(Protocol):
    """A dataset whose augmentation can be seeded before a sample is drawn."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def seed(self, seed: int) -> None:
        """Fix the random state of the next sample."""


class SeededDataset(Dataset[Sample]):
    """Serves ``(index, seed)`` keys: seeds the augmentation, then draws the sample.

    The seed goes on with the sample, for what training draws at random later (``Target["seed"]``).
    """

    def __init__(self, dataset: SeedableDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Sample:
        index, seed = key
        self.dataset.seed(seed)
        image, target = self.dataset[index]
        return Sample(image, {**target, "seed": seed})


class TrainSampler(Sampler[Key]):
    """Shuffled keys of all samples, over all processes, and which of them an epoch can do without.

    Args:
        length: number of samples in the set.
        seed: seed of the order and of all that is drawn for a sample.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Key]:
        generator = self._generator(self.epoch)
        order = torch.randperm(self.length, generator=generator)
        seeds = torch.randint(2**31, (self.length,), generator=generator)
        yield from zip(order.tolist(), seeds.tolist(), strict=True)

    def left_out(self, count: int) -> set[int]:
        """The ``count`` samples that this epoch does without, drawn from those left out least often.

        So in the first ``E`` epochs each of ``N`` samples is left out ``E count / N`` times, rounded down or
        up: no two samples differ by more than one (by more than two if counted from a later epoch). What
        came before follows from the number of the epoch, so it holds for a resumed run too.
        """
        times = torch.zeros(self.length, dtype=torch.float64)
        chosen = torch.zeros(0, dtype=torch.int64)
        for epoch in range(self.epoch + 1 if count else 0):
            # Other numbers than those that order the epoch: epochs below zero, which no run reaches.
            draw = torch.rand(self.length, generator=self._generator(-1 - epoch), dtype=torch.float64)
            chosen = (times + draw).topk(count, largest=False).indices
            times[chosen] += 1
        return set(chosen.tolist())

    def _generator(self, epoch: int) -> torch.Generator:
        # Seeds of neighbouring epochs must not collide with those of neighbouring runs: 1,000,003 is prime.
        return torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)


class EvalSampler(Sampler[int]):
    """This process's share of an evaluation set, in order, without repeating any sample."""

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
