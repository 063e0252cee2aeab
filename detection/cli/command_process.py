"""A command in a process of its own: its words, its end, and what it says where that is not good."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from detection.checkpoints.runs import run_folder
from detection.cli.quoting import as_value
from detection.system.processes import OF_A_CALLER, PACKAGE
from detection.validation.arguments import check_arguments


class CommandError(RuntimeError):
    """A command ended with an error; the message is what it would have told its user."""


_KEYS = {"backbone": "model/backbone", "root": "data.root"}
_NO_KEYS = ("overrides", "verbose", "fix_to")
# What is looked at here; the other values are words of the command, which judges and corrects them.
_PATHS = ("ckpt", "output", "run_dir", "root", "images", "fix_to", "overrides")


def check_paths(function: Callable[..., Any], asked: Mapping[str, Any]) -> None:
    """Refuse what are no paths and no words.

    Args:
        function: what was called.
        asked: its arguments by name.

    Raises:
        TypeError: one is of another type.
        ValueError: a folder of a run is named among ``overrides``.
    """
    if isinstance(overrides := asked["overrides"], str):
        raise TypeError(f"overrides={overrides!r}: give a list, such as [{overrides!r}].")
    for name, value in asked.items():
        if isinstance(value, set | frozenset):
            raise TypeError(f"{name}={value!r}: a set has no order: give a list, such as {sorted(value)!r}.")
    check_arguments(function, {name: value for name, value in asked.items() if name in _PATHS})
    for word in map(str, asked["overrides"] or ()):
        if "run_dir" in asked and word.startswith(("run_dir=", "hydra.run.dir=")):
            raise ValueError(
                f"{word}: run_dir is an argument of its own, run_dir={word.partition('=')[2]!r}."
            )


def new_folder(run_dir: str | Path | None, name: str, ckpt: str | Path | None = None) -> Path:
    """The folder that a command writes: the one that is named, that of the resumed run, or a new one.

    Args:
        run_dir: as it is given.
        name: of the run.
        ckpt: what it resumes from.
    """
    resumed, now = None if ckpt is None else str(ckpt), f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    return Path(run_dir or run_folder(resumed, name, now)).expanduser().resolve()


def run(
    verb: str, asked: Mapping[str, Any], ends_with: Sequence[int] = (0,), leaves: Path | None = None
) -> int:
    """Run a command to its end. Names of arguments are names of keys, but for ``_KEYS``.

    Args:
        verb: the command.
        asked: its arguments by name.
        ends_with: the exit statuses of a good end.
        leaves: a file that a good end with another status than 0 has left.

    Returns:
        The exit status.

    Raises:
        CommandError: the end was not good.
    """
    given = {name: value for name, value in asked.items() if name not in _NO_KEYS and value not in (None, ())}
    # Bare words and paths are typed bare, so that a path's ~ is the home folder.
    values = {name: value if isinstance(value, str) else as_value(value) for name, value in given.items()}
    words = [f"{_KEYS.get(name, name)}={value}" for name, value in values.items()]
    # In the folder of the caller, wherever the package lies.
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        OF_A_CALLER: "1",
    }
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told,
        subprocess.Popen(
            [sys.executable, "-m", f"detection.{verb}", *words, *map(str, asked["overrides"])],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if asked["verbose"]:
                    print(line, end="", flush=True)
        except BaseException:  # a notebook's interrupt reaches the caller alone
            process.send_signal(signal.SIGINT)
            raise
        code = process.wait()
        told.seek(0)
        complaint = told.read().strip() or f"detection {verb} ended with exit status {code}."
    if code not in ends_with or (code and leaves and not leaves.exists()):
        raise CommandError(complaint)
    return code


def read_json(path: Path) -> dict[str, Any]:
    """Read what a command has left."""
    return dict(json.loads(path.read_text(encoding="utf-8")))
