"""Batches of images of like shape, so that padding them to one size wastes little."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from torch.utils.data import Sampler

from detection.data.sampling import Key, TrainSampler

# Two images share a group when their aspect ratios are within about a quarter of each other.
_GROUP_WIDTH = math.log(1.25)


def aspect_group(size: tuple[int, int]) -> int:
    """The group of an image of ``(height, width)``: its aspect ratio on a coarse logarithmic scale."""
    height, width = size
    return round(math.log(width / height) / _GROUP_WIDTH)


class GroupedBatchSampler(Sampler[list[Key]]):
    """Cuts a shuffled epoch into batches of one group each.

    A batch is filled over all processes at once and then shared out, so every process gets the same number
    of batches. What is left in the groups at the end of an epoch is mixed; the last, smaller batch is dropped
    unless the set is smaller than one batch.

    Args:
        sampler: the epoch's keys, of the whole set.
        groups: the group of each sample.
        batch_size: samples per process and batch.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        sampler: TrainSampler,
        groups: Sequence[int],
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sampler = sampler  # the trainer finds it by this name and sets its epoch
        self.groups = groups
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size

    def __len__(self) -> int:
        return max(1, len(self.sampler) // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[Key]]:
        full = self.batch_size * self.world_size
        waiting: dict[int, list[Key]] = defaultdict(list)
        for key in self.sampler:
            members = waiting[self.groups[key[0]]]
            members.append(key)
            if len(members) == full:
                yield members[self.rank :: self.world_size]
                members.clear()
        left = [key for group in sorted(waiting) for key in waiting[group]]
        if len(self.sampler) < full:
            # Repeat samples where there are fewer than processes: all must take part in each step.
            repeated = list(islice(cycle(left), max(len(left), self.world_size)))
            yield repeated[self.rank :: self.world_size]
        for start in range(0, len(left) - full + 1, full):
            yield left[start : start + full][self.rank :: self.world_size]
