"""Samples that know their optimizer step: what its images share, and how much of the run is done."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import Sampler

from detection.data.sampling import GroupedBatchSampler, Key, Keys


class Step(NamedTuple):
    """An optimizer step, as its samples know it."""

    seed: int
    """Of what all its images have in common, on all processes and in all parts."""
    done: float
    """Share of the run that is done when it begins, from 0 to 1."""


class SteppedKey(NamedTuple):
    """What names a sample."""

    key: Key
    step: Step


class SteppedBatchSampler(Sampler[list[SteppedKey]]):
    """Tells with each key which step it belongs to.

    A step is named by (seed, epoch, number), so that it is the same for workers, processes, parts and a run
    that is resumed.

    Args:
        batches: the keys.
        num_steps: of the whole run; a run that is longer has all done.
        of_epoch: steps of an epoch, where the run ends its epochs before their last.
    """

    def __init__(self, batches: GroupedBatchSampler, num_steps: int, of_epoch: int | None = None) -> None:
        self.batches, self.num_steps = batches, num_steps
        self.of_epoch = batches.num_steps if of_epoch is None else of_epoch

    @property
    def sampler(self) -> Keys:
        """The trainer finds it by this name and sets its epoch."""
        return self.batches.sampler

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SteppedKey]]:
        seed, epoch, parts = self.sampler.seed, self.sampler.epoch, self.batches.parts
        for number, batch in enumerate(self.batches, start=self.batches.first_step * parts):
            within = number // parts
            done = min(1.0, (epoch * self.of_epoch + within) / self.num_steps)
            step = Step(random.Random(f"step: {seed}, {epoch}, {within}").getrandbits(31), done)
            yield [SteppedKey(key, step) for key in batch]
