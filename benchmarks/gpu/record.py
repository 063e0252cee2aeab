"""What a command has found so far: a line of JSON and a line on the terminal for each row, at once."""

import json
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


class Clock:
    """The minutes that a command may take, from now on.

    Args:
        minutes: in all.
    """

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()


class Record:
    """A file of JSON lines under ``runs``, the first about the machine, the others one row each.

    Args:
        name: of the folder.
        about: what the figures depend on besides machine and versions.
    """

    def __init__(self, name: str, about: dict[str, Any]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.path = Path("runs", name, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        versions = {name: version(name) for name in ("torch", "torchvision", "pytorch-lightning")}
        python, date = platform.python_version(), time.strftime("%Y-%m-%d")
        self._write({**about, "python": python, **versions, "date": date})

    def add(self, row: dict[str, Any], line: str) -> None:
        """Keep a row, and print its line."""
        self.rows.append(row)
        self._write(row)
        print(line, flush=True)

    def _write(self, row: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def device_name(device: str) -> str:
    """What computes."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"


def named(pairs: Iterable[tuple[str, Any]]) -> str:
    """``name value, name value``."""
    return ", ".join(f"{name} {value}" for name, value in pairs)
