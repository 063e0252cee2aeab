"""A job of a sweep: a training in a process and a folder of its own.

Lightning starts the other processes of a run with the command line of the first. In a sweep that command line
is the sweep's, so each of them would run all the jobs. A process of its own has a command line of its own; it
also starts with fresh memory, process group and random state, and the sweep survives when it dies.
"""

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from detection.system.endings import stopped_by
from detection.system.files import write_text
from detection.system.processes import in_quotes, is_first, training

# What a job leaves in its folder for the sweep's table.
METRICS, ERROR, PRUNED = "metrics.json", "error.txt", "pruned.txt"
FOUND = "found.json"  # of a job with find=..., in place of the metrics


def in_sweep() -> bool:
    """Whether Hydra runs this as one job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def note_found(found: Mapping[str, float], folder: str) -> None:
    """Leave ``found.json`` in a folder: what was looked for instead of training.

    Args:
        found: by the name of its key.
        folder: the run's folder.
    """
    write_text(Path(folder) / FOUND, json.dumps(found, indent=2) + "\n")


def run_job(metric: str, finds: bool = False) -> float:
    """Run the current job of a sweep and wait for it.

    Args:
        metric: what the sweep compares.
        finds: whether the job looks for a setting instead of training.

    Returns:
        That metric of the job, or the setting that it found; nan where the job failed, with the reason in
        ``error.txt`` of its folder.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise SystemExit(
            "torchrun starts one run; in a sweep (-m), set trainer.devices and leave torchrun out."
        )
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    for name in (METRICS, FOUND, ERROR, PRUNED):  # of an earlier sweep in the same folder
        (folder / name).unlink(missing_ok=True)
    code = _wait(subprocess.Popen(job_command(hydra), cwd=hydra.runtime.cwd))
    if code != 0:
        if not (folder / ERROR).exists():
            (folder / ERROR).write_text(f"{_ending(code)}\n", encoding="utf-8")
        return math.nan
    left = folder / (FOUND if finds else METRICS)
    if not left.exists():
        return math.nan
    values = json.loads(left.read_text(encoding="utf-8"))
    if finds:
        [values[metric]] = values.values()
    value = values.get(metric)
    return math.nan if value is None else float(value)


def job_command(hydra: HydraConf) -> list[str]:
    """The command line that runs one job of a sweep by itself, in the job's folder.

    Args:
        hydra: Hydra's configuration of the job.
    """
    command = [*training(), "--config-name", str(hydra.job.config_name)]
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            command += ["--config-dir", source.path]
    return [
        *command,
        *hydra.overrides.hydra,
        *hydra.overrides.task,
        "hydra.mode=RUN",
        f"hydra.run.dir={in_quotes(hydra.runtime.output_dir)}",
        f"hydra.sweep.dir={in_quotes(hydra.sweep.dir)}",
        f"hydra.job.num={hydra.job.num}",
        "hydra.output_subdir=null",  # the sweep has written .hydra
    ]


@contextmanager
def error_noted(folder: str) -> Iterator[None]:
    """Leave ``error.txt`` in a folder when what is inside fails: its message, in one sentence.

    Args:
        folder: the run's folder.
    """
    path = Path(folder) / ERROR
    if is_first():  # the first process of a run; the others may find an error of this run
        path.unlink(missing_ok=True)
    try:
        yield
    except (Exception, SystemExit) as error:
        message = f"{error}" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            message = f"exit status {error.code}"
        # A full disk, too many open files: what was wrong at first matters more.
        with suppress(OSError), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{stopped_by() or message}\n")
        raise


def _ending(code: int) -> str:
    names = {int(each): each.name for each in signal.Signals}  # each system has its own
    name = names.get(-code)
    if name is None:
        return f"The job ended with exit status {code}."
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"The job was ended by {name}{hint}."


def _wait(job: "subprocess.Popen[bytes]") -> int:
    """Wait for a job, and end it with its sweep when the sweep is told to end."""
    with _sigterm_raises():
        try:
            return job.wait()
        except BaseException:
            job.terminate()  # which it hands on to the processes it started
            try:
                job.wait(timeout=20)
            except subprocess.TimeoutExpired:
                job.kill()
            raise


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM, which ends a process on the spot, into an exception, unless a launcher listens to it."""
    listens = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if listens or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
