"""The table of a benchmark, and what it was measured on."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
import torchvision
from rich.table import Table

from detection.benchmarking.measure import Measurement
from detection.system.console import plain_console


def surroundings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures depend on besides the code: hardware, versions, settings."""
    return {
        "device": torch.cuda.get_device_name()
        if _on_gpu(config)
        else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
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
    title = f"{about['device']}, {about['cores']} cores, torch {about['torch']}, {about['precision']}"
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
