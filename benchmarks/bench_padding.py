"""Row 14: how much of a batch of Faster R-CNN's images is padding."""

from collections.abc import Iterator, Sequence

import torch

from benchmarks.harness import Benchmark, Result, counted
from detection.data.sampling import GroupedBatchSampler, TrainSampler, aspect_group
from detection.ops.padding import padded_size
from detection.reader import short_side_size

_BATCH = 8
_STRIDE = 32
# The commonest sizes of VOC 2007 with their share in percent; the remaining images have any shape.
_SIZES = (((375, 500), 43), ((333, 500), 22), ((500, 375), 8), ((500, 333), 5), ((500, 500), 1))


def padding() -> Iterator[Result]:
    """Row 14."""
    sizes = [short_side_size(size, 600, 1000) for size in _voc_like_sizes(4000)]
    sampler = TrainSampler(len(sizes), seed=0)
    shuffled = [key[0] for key in sampler]
    random = [shuffled[i : i + _BATCH] for i in range(0, len(shuffled), _BATCH)]
    grouped = GroupedBatchSampler(sampler, [aspect_group(size) for size in sizes], _BATCH)
    ours = _waste(sizes, [[key[0] for key in batch] for batch in grouped])
    yield counted(
        "14",
        "padded over own pixels, shapes as in VOC, batch 8; against random batches",
        ours,
        1.12,
        "x",
        _waste(sizes, random),
    )


def _voc_like_sizes(count: int) -> list[tuple[int, int]]:
    generator = torch.Generator().manual_seed(0)
    common = [size for size, percent in _SIZES for _ in range(percent * count // 100)]
    sides = torch.randint(180, 501, (count - len(common),), generator=generator).tolist()
    return common + [(side, 500) if i % 3 else (500, side) for i, side in enumerate(sides)]


def _waste(sizes: Sequence[tuple[int, int]], batches: Sequence[Sequence[int]]) -> float:
    own = padded = 0
    for batch in batches:
        height, width = padded_size([sizes[i] for i in batch], _STRIDE)
        own += sum(sizes[i][0] * sizes[i][1] for i in batch)
        padded += height * width * len(batch)
    return padded / own


ROWS: dict[str, Benchmark] = {"14": padding}
