"""Times and memory of one part of a run at a time."""

import math
import sys
import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from detection.types import ListBatch, PaddedBatch


class Measurement(NamedTuple):
    """One row of the table."""

    name: str
    images_per_second: float
    """Of the median batch."""
    milliseconds: float
    """Of the median batch."""
    batch_size: int
    device_memory: float | None
    """Most MiB of tensors on the device since the part began; None on a CPU."""
    host_memory: float
    """Most MiB of this process so far; loader workers have their own."""


def measure_loader(loader: DataLoader[Any], warmup: int, batches: int) -> Measurement:
    """Time the loader alone: how long a training process without work of its own waits for each batch."""
    iterator = islice(_repeated(loader), warmup + batches)
    sizes: list[int] = []

    def load() -> None:
        sizes.append(len(next(iterator).images))

    return measure("data loading", load, warmup, batches, lambda: sizes[-1], torch.device("cpu"), mean=True)


def measure(
    name: str,
    run: Callable[[], object],
    warmup: int,
    batches: int,
    batch_size: Callable[[], int],
    device: torch.device,
    mean: bool = False,
) -> Measurement:
    """Time a function that works on one batch.

    Args:
        name: of the row.
        run: the work.
        warmup: calls before the clock starts.
        batches: calls that count.
        batch_size: images of the last call.
        device: what the work runs on; the clock waits for it.
        mean: take the mean of the calls and not the median: a loader works ahead, so its batches come in
            bursts.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(warmup):
        run()
    seconds, images = [], 0
    for _ in range(batches):
        _wait_for(device)
        start = time.perf_counter()
        run()
        _wait_for(device)
        seconds.append(time.perf_counter() - start)
        images += batch_size()
    typical = sum(seconds) / batches if mean else sorted(seconds)[batches // 2]
    size = images / batches
    return Measurement(
        name, size / typical, 1000 * typical, round(size), device_memory(device), host_memory()
    )


def device_memory(device: torch.device) -> float | None:
    """Most MiB of tensors on a GPU since the count was last reset; None for a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def host_memory() -> float:
    """Most resident memory of this process so far, in MiB."""
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _repeated(loader: Iterable[PaddedBatch | ListBatch]) -> Iterable[PaddedBatch | ListBatch]:
    for _ in cycle([None]):
        yield from loader


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
