"""How a command starts: its words are brought into Hydra's form, and explained where Hydra refuses them."""

import os
import sys
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from hydra._internal import utils as hydra_internals
from hydra.core.config_store import ConfigStore

from detection.cli.hydra_versions import let_sweeps_delete
from detection.cli.quoting import quote_words
from detection.cli.several_jobs import end_if_some_failed
from detection.cli.words import apart, plain_words, tell_readings
from detection.system.endings import end_if_told, hear_signals
from detection.system.processes import agree_on_start, end_with_a_caller, end_with_the_first
from detection.system.streams import make_output_last


def take_run_dir() -> None:
    """Take ``run_dir=FOLDER`` for ``hydra.run.dir=FOLDER``, from which it comes.

    Raises:
        SystemExit: it names no folder, or another one than hydra.run.dir does, or there are several runs.
    """
    words = sys.argv[1:]
    folders = [word.partition("=")[2] for word in words if word.lstrip("+").startswith("run_dir=")]
    if not folders:
        return
    if {"-m", "--multirun"} & set(words):
        raise SystemExit("run_dir= names the folder of one run; those of a sweep lie in hydra.sweep.dir=...")
    others = {word.partition("=")[2] for word in words if word.startswith("hydra.run.dir=")}
    if others - set(folders) or len(set(folders)) > 1:
        raise SystemExit("run_dir= and hydra.run.dir= name the same folder: give one of them, once.")
    if folders[0] in ("", "null", "???"):
        raise SystemExit(f"run_dir={folders[0]}: name a folder, or leave it out for a new one.")
    kept = [word for word in words if not word.lstrip("+").startswith(("run_dir=", "hydra.run.dir="))]
    settings, flags = apart(kept)
    sys.argv[1:] = [*settings, f"hydra.run.dir={folders[0]}", *flags]


_HAVE_RUN_DIR = ("train", "evaluate", "check", "benchmark")


def run_with_hints(main: Callable[[], Any], config_name: str = "train") -> None:
    """Run a ``@hydra.main`` command; words that Hydra refuses are read as what they mean, or explained.

    Paths need no quotes of Hydra's. The command outlives the readers of its output, and ends by Ctrl-C or
    SIGTERM with a sentence (:mod:`detection.system.endings`).

    Args:
        main: the command.
        config_name: its primary configuration.
    """
    end_with_a_caller()
    make_output_last()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings are stack traces of C++
    hear_signals()
    end_with_the_first()
    try:
        sys.argv[1:] = plain_words(sys.argv[1:], config_name)
        _prepare_words(config_name)
        _share_registry()
        agree_on_start()
        _offer_sweepers()
        let_sweeps_delete()
        _run(main, config_name)
        tell_readings()
        end_if_some_failed()
    finally:
        end_if_told()


def _prepare_words(config_name: str) -> None:
    if config_name in _HAVE_RUN_DIR:
        take_run_dir()
    quote_words()


def _run(main: Callable[[], Any], config_name: str) -> None:
    """Run a command, with other words for those that Hydra refuses."""
    hydra_internals.run_and_report = _report
    while True:
        try:
            main()
            return
        except Exception as error:
            if _is_of_the_job(error):
                raise
            # Composing takes a while: only words that are refused are looked into.
            from detection.cli.readings import read_again

            before = sys.argv[1:]
            sys.argv[1:] = read_again(before, error, config_name)
            _prepare_words(config_name)
            if sys.argv[1:] == before:
                raise


_hydras_report = hydra_internals.run_and_report


def _report(func: Any) -> Any:
    """Leave to Hydra the report of what a job has raised, not of a command line that it cannot read."""
    try:
        return func()
    except Exception as error:
        if not _is_of_the_job(error):
            raise
        failed = error

    def fail() -> None:
        raise failed

    return _hydras_report(fail)


def _is_of_the_job(error: Exception) -> bool:
    """Whether an error was raised by what a command does, and not while its words were read."""
    frames = traceback.extract_tb(error.__traceback__)
    called = [frame for before, frame in pairwise(frames) if before.name == "run_job"]
    libraries = (*hydra.__path__, *omegaconf.__path__)
    return any(not frame.filename.startswith(libraries) for frame in called)


def _share_registry() -> None:
    """Spare Hydra a copy of all registered configurations for each group that ``--help`` lists.

    There is one registry, which is only read: half of the time of ``--help`` went into copies of it.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def _offer_sweepers() -> None:
    """Let Hydra find our sweeper, in this process and in those that a launcher starts."""
    folder = str(Path(__file__).parents[1] / "sweeps/plugins")
    sys.path.append(folder)
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([others, folder] if others else [folder])
