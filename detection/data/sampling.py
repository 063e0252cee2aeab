"""Which image comes when, and with which random state; on any number of processes and workers.

A training sample is named by an (index, seed) pair that the sampler draws from (seed, epoch) alone. The
worker that happens to load the sample only consumes the pair, so neither the number of workers nor the
number of processes changes what a sample looks like, and a resumed run sees what it would have seen.
"""

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch.utils.data import Dataset, Sampler

from detection.types import Sample

Key = tuple[int, int]
"""Index of a sample, and the seed of its augmentation."""


class SeedableDataset(Protocol):
    """A dataset whose augmentation can be seeded before a sample is drawn."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def seed(self, seed: int) -> None:
        """Fix the random state of the next sample."""


class SeededDataset(Dataset[Sample]):
    """Serves ``(index, seed)`` keys: seeds the augmentation, then draws the sample."""

    def __init__(self, dataset: SeedableDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Sample:
        index, seed = key
        self.dataset.seed(seed)
        return self.dataset[index]


class TrainSampler(Sampler[Key]):
    """Shuffled keys of this process's share of the training set.

    The shares of all processes have equal length (the first few samples are repeated where the set does not
    divide), and step ``k`` of ``n`` processes with batch size ``b`` holds the same samples as step ``k`` of
    one process with batch size ``n * b``.

    Args:
        length: number of samples in the set.
        seed: seed of the order and of the augmentation.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.seed, self.rank, self.world_size = length, seed, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.length / self.world_size)

    def __iter__(self) -> Iterator[Key]:
        # Seeds of neighbouring epochs must not collide with those of neighbouring runs: 1,000,003 is prime.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator)
        seeds = torch.randint(2**31, (self.length,), generator=generator)
        positions = torch.arange(self.rank, len(self) * self.world_size, self.world_size) % self.length
        yield from zip(order[positions].tolist(), seeds[positions].tolist(), strict=True)


class EvalSampler(Sampler[int]):
    """This process's share of an evaluation set, in order, without repeating any sample."""

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
