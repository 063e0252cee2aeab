"""Times and memory of one part of a run at a time, and their table."""

import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torchvision
from rich.table import Table
from torch.utils.data import DataLoader

from detection.system.console import plain_console
from detection.system.processes import num_cores
from detection.system.wording import counted
from detection.types import ListBatch, PaddedBatch


class StepTimes(pl.Callback):
    """The seconds of each training or validation step, without the wait for its batch.

    A training step is from the batch on the device to the updated weights.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.images: list[int] = []
        self._start = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Start the clock."""
        self._begin(pl_module)

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Start the clock."""
        self._begin(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Stop the clock."""
        self._end(pl_module, batch)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Stop the clock."""
        self._end(pl_module, batch)

    def _begin(self, task: pl.LightningModule) -> None:
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        self._start = time.perf_counter()

    def _end(self, task: pl.LightningModule, batch: Any) -> None:
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        self.seconds.append(time.perf_counter() - self._start)
        self.images.append(len(batch.images))


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


def surroundings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures depend on besides the code: hardware, versions, settings."""
    return {
        "device": torch.cuda.get_device_name()
        if _on_gpu(config)
        else platform.processor() or platform.machine(),
        "cores": num_cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pytorch_lightning": version("pytorch-lightning"),
        "precision": str(config["trainer"]["precision"]),
        "size": config["data"]["size"],
        "num_workers": config["data"]["num_workers"],
    }


def print_table(rows: Sequence[Measurement], about: Mapping[str, Any]) -> None:
    """Print one row per measurement, under what it was measured on."""
    title = (
        f"{about['device']}, {counted(about['cores'], 'core')}, torch {about['torch']}, {about['precision']}"
    )
    table = Table(title=title)
    on_gpu = rows[-1].device_memory is not None
    columns = ("part", "images/s", "ms per batch", "batch", "process MiB", *["device MiB"] * on_gpu)
    for name in columns:
        table.add_column(name, justify="left" if name == "part" else "right")
    for row in rows:
        cells = [row.name, f"{row.images_per_second:.1f}", f"{row.milliseconds:.1f}", str(row.batch_size)]
        memory = [f"{row.host_memory:.0f}"] + [f"{row.device_memory or 0:.0f}"] * on_gpu
        table.add_row(*cells, *memory)
    console = plain_console()
    console.print(table)
    workers = about["num_workers"]
    if workers == 0:
        console.print("data.num_workers=0: each step waits for its batch to be loaded.")
    elif rows[0].images_per_second < rows[1].images_per_second:
        hint = f"Loading is slower than the training step: try more than data.num_workers={workers}."
        console.print(hint)


def _on_gpu(config: Mapping[str, Any]) -> bool:
    return torch.cuda.is_available() and config["trainer"]["accelerator"] in ("auto", "gpu", "cuda")
