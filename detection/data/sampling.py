"""Which image comes when, with which random state, in which step; on any number of processes and workers.

A training sample is named by an (index, seed) pair that the sampler draws from (seed, epoch) alone. The
worker that happens to load the sample only consumes the pair, so neither the number of workers nor the
number of processes changes what a sample looks like, and a resumed run sees what it would have seen.
"""

import math
import random
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch.utils.data import Dataset, Sampler

from detection.system.wording import counted
from detection.types import Sample, Target

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
        return Sample(image, for_training(target, seed))


def for_training(target: Target, seed: int) -> Target:
    """The target of a sample with the seed of what is drawn for it; its objects may be cut: areas go."""
    target = {**target, "seed": seed}
    target.pop("areas", None)
    return target


class Keys(Sampler[Key]):
    """Keys of an epoch in training, over all processes; its length is the same in all epochs.

    Args:
        seed: seed of the order and of all that is drawn for a sample.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls this before each one."""
        self.epoch = epoch

    @abstractmethod
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Key]:
        yield from self.whole_steps(1)

    @abstractmethod
    def whole_steps(self, images_per_step: int) -> list[Key]:
        """The keys of the epoch, in random order, less what does not fill a step."""

    def generator(self, epoch: int) -> torch.Generator:
        """What an epoch draws with."""
        # Seeds of neighbouring epochs must not collide with those of neighbouring runs: 1,000,003 is prime.
        return torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)


class TrainSampler(Keys):
    """Shuffled keys of all samples, over all processes, and which of them an epoch can do without.

    Args:
        length: number of samples in the set.
        seed: seed of the order and of all that is drawn for a sample.
    """

    def __init__(self, length: int, seed: int) -> None:
        super().__init__(seed)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def whole_steps(self, images_per_step: int) -> list[Key]:
        """The keys of the epoch less those that are :meth:`left_out`."""
        generator = self.generator(self.epoch)
        order = torch.randperm(self.length, generator=generator)
        seeds = torch.randint(2**31, (self.length,), generator=generator)
        left_out = self.left_out(self.length % images_per_step)
        keys = zip(order.tolist(), seeds.tolist(), strict=True)
        return [key for key in keys if key[0] not in left_out]

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
            draw = torch.rand(self.length, generator=self.generator(-1 - epoch), dtype=torch.float64)
            chosen = (times + draw).topk(count, largest=False).indices
            times[chosen] += 1
        return set(chosen.tolist())


class EvalSampler(Sampler[int]):
    """This process's share of an evaluation set, in order, without repeating any sample."""

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


# Two images share a group when their aspect ratios are within about a quarter of each other.
_GROUP_WIDTH = math.log(1.25)


def aspect_group(size: tuple[int, int]) -> int:
    """The group of an image of ``(height, width)``: its aspect ratio on a coarse logarithmic scale."""
    height, width = size
    return round(math.log(width / height) / _GROUP_WIDTH)


class GroupedBatchSampler(Sampler[list[Key]]):
    """Cuts an epoch into optimizer steps, and each of them into the batches of this process.

    Which images make a step depends neither on the number of processes nor on that of parts: a step is formed
    first, then each process takes its share of it, in so many parts. With groups, a step holds images of one
    group, so that padding them to one size wastes little; what is left in the groups makes mixed steps, of
    groups as near to each other as may be. The steps of an epoch come in random order, the mixed ones too: a
    run that takes only some of them favours no group.

    Of ``N`` images that are drawn once, in steps of ``B``, an epoch leaves out ``r = N mod B``, whatever
    their groups, and others in each epoch (:meth:`TrainSampler.left_out`): in the first ``E`` epochs, each is
    trained ``E - E r / N`` times, rounded down or up. A set smaller than one step makes one step of all its
    images; the shares of processes then differ by one image at most, and there are fewer parts if there is
    not an image for each.

    Args:
        sampler: the epoch's keys, over all processes.
        groups: the group of each sample; None to take the keys as they come.
        images_per_step: over all processes.
        rank: this process.
        world_size: number of processes.
        parts: batches that a process makes of its share of a step.

    Raises:
        ValueError: a process would have no image.
    """

    def __init__(
        self,
        sampler: Keys,
        groups: Sequence[int] | None,
        images_per_step: int,
        rank: int = 0,
        world_size: int = 1,
        parts: int = 1,
    ) -> None:
        self.sampler = sampler  # the trainer finds it by this name and sets its epoch
        self.groups = groups
        self.images_per_step = max(1, min(images_per_step, len(sampler)))
        self.rank, self.world_size = rank, world_size
        each = self.images_per_step // world_size
        if each < 1:
            raise ValueError(
                f"{counted(len(sampler), 'training image')} for {world_size} devices: each needs one."
            )
        self.parts = min(parts, each)
        self._begin = (0, 0)

    def begin(self, epoch: int, step: int) -> None:
        """Leave out the steps of an epoch that are done, without loading them.

        Args:
            epoch: where a resumed run begins; later epochs are whole.
            step: how many steps of it are done.
        """
        self._begin = epoch, step

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return len(self.sampler) // self.images_per_step

    @property
    def first_step(self) -> int:
        """Where the epoch begins: behind its steps that are done."""
        epoch, done = self._begin
        return done if self.sampler.epoch == epoch else 0

    def __len__(self) -> int:
        return self.num_steps * self.parts

    def __iter__(self) -> Iterator[list[Key]]:
        keys = self.sampler.whole_steps(self.images_per_step)
        steps = self._steps(keys) if self.groups is None else self._grouped(keys, self.groups)
        for step in steps[self.first_step :]:
            share = _cut(step, self.world_size)[self.rank]
            yield from _cut(share, self.parts)

    def _steps(self, keys: list[Key]) -> list[list[Key]]:
        size = self.images_per_step
        return [keys[start : start + size] for start in range(0, len(keys) - size + 1, size)]

    def _grouped(self, keys: list[Key], groups: Sequence[int]) -> list[list[Key]]:
        members: dict[int, list[Key]] = defaultdict(list)
        for key in keys:
            members[groups[key[0]]].append(key)
        steps: list[list[Key]] = []
        left: list[Key] = []
        for _, like in sorted(members.items()):
            whole = self._steps(like)
            steps += whole
            left += like[sum(map(len, whole)) :]
        steps += self._steps(left)
        random.Random(f"order of steps: {self.sampler.seed}, {self.sampler.epoch}").shuffle(steps)
        return steps


def _cut(keys: list[Key], count: int) -> list[list[Key]]:
    """Cut into pieces whose lengths differ by one at most."""
    bounds = [len(keys) * i // count for i in range(count + 1)]
    return [keys[start:end] for start, end in pairwise(bounds)]
