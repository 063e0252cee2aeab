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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from detection.system.console import tell
from detection.system.endings import stopped_by
from detection.system.files import write_text
from detection.system.processes import OF_A_CALLER, in_quotes, is_first, training

# What a job leaves in its folder for the sweep's table.
METRICS, ERROR, PRUNED = "metrics.json", "error.txt", "pruned.txt"
FOUND = "found.json"  # of a job with find=..., in place of the metrics
ENDED = "ended"  # a key of the metrics: how a run ended that did not reach its last epoch
# Whose folder it is; what Hydra leaves there is written over before a job of a later start is asked.
OVERRIDES = ".job.json"
_ORIGINS = ("ckpt", "init_from", "init_reuse")
_LIMIT = "trainer.max_time"


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


def note_words(folder: str) -> None:
    """If a job's folder goes on with other words than the job's, by hand, it is the job's no more.

    Args:
        folder: the run's folder, which may be no job's.
    """
    if not HydraConfig.initialized():
        return
    words, before = list(HydraConfig.get().overrides.task), words_of(Path(folder))
    if before is not None and _settings(before, *_ORIGINS, _LIMIT) != _settings(words, *_ORIGINS, _LIMIT):
        _write_words(Path(folder), words)


def run_job(metric: str, finds: bool = False) -> float:
    """Run the current job of a sweep and wait for it.

    In a sweep that is started again in its folder, a job of the same overrides is not run when it is done,
    and goes on from its last checkpoint when it is not, or when it was ended by another limit of time.

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
    left = folder / (FOUND if finds else METRICS)
    words, before = list(hydra.overrides.task), words_of(folder)
    same = before is not None and _settings(before, _LIMIT) == _settings(words, _LIMIT)
    if same and left.exists() and not any((folder / name).exists() for name in (ERROR, PRUNED)):
        value, ended = _value(left, metric, finds), _read(left).get(ENDED)
        if not ended or _settings(words) == _settings(before or ()):
            told = f": {ended}" if ended else ""
            tell(f"#{hydra.job.num} is done, by {left}: {'found' if finds else metric} {value:.4g}{told}")
            return value
    for name in (METRICS, FOUND, ERROR, PRUNED):  # of an earlier sweep in the same folder
        (folder / name).unlink(missing_ok=True)
    ckpt = _to_resume(folder) if same and not finds else None
    if ckpt is not None:
        tell(f"#{hydra.job.num} goes on from {ckpt}")
    if before is not None and not same:
        tell(f"#{hydra.job.num} had other settings in {folder} before: it is trained anew")
    if not same:  # when all that tells of an end of the other one is gone
        _write_words(folder, words)
    elif words != before:  # no older than its checkpoint
        since = (folder / OVERRIDES).stat().st_mtime_ns
        _write_words(folder, words)
        os.utime(folder / OVERRIDES, ns=(since, since))
    env = {**os.environ, OF_A_CALLER: "1"}  # it ends with a sweep that is killed
    code = _wait(subprocess.Popen(job_command(hydra, ckpt), cwd=hydra.runtime.cwd, env=env))
    if code != 0:
        if not (folder / ERROR).exists():
            (folder / ERROR).write_text(f"{_ending(code)}\n", encoding="utf-8")
        return math.nan
    return _value(left, metric, finds) if left.exists() else math.nan


def words_of(folder: Path) -> list[str] | None:
    """The overrides of the job whose folder it is; None where it is no job's.

    Args:
        folder: of a run.
    """
    try:
        words = json.loads((folder / OVERRIDES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return [str(word) for word in words] if isinstance(words, list) else None


def _write_words(folder: Path, words: Sequence[str]) -> None:
    write_text(folder / OVERRIDES, json.dumps(list(words)) + "\n")


def _settings(words: Sequence[str], *but: str) -> dict[str, Any]:
    """What words say, however it is written: a sweep escapes what was typed in quotes."""
    overrides = OverridesParser.create().parse_overrides(list(words))
    said = {override.key_or_group: override.value() for override in overrides}
    return {key: value for key, value in said.items() if key not in but}


def _to_resume(folder: Path) -> Path | None:
    """The last checkpoint of the job whose folder it is.

    One that is older is of other overrides: a job sets it aside when it begins to train, which this job was
    stopped before.
    """
    last = folder / "checkpoints" / "last.ckpt"
    with suppress(OSError):
        if last.stat().st_mtime_ns > (folder / OVERRIDES).stat().st_mtime_ns:
            return last
    return None


def _value(left: Path, metric: str, finds: bool) -> float:
    values = _read(left)
    if finds:
        [values[metric]] = values.values()
    value = values.get(metric)
    return math.nan if value is None else float(value)


def _read(left: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(left.read_text(encoding="utf-8"))
    return values


def job_command(hydra: HydraConf, ckpt: Path | None = None) -> list[str]:
    """The command line that runs one job of a sweep by itself, in the job's folder.

    Args:
        hydra: Hydra's configuration of the job.
        ckpt: what the job resumes from.
    """
    task = list(hydra.overrides.task)
    if ckpt is not None:  # in place of what it began with
        first = tuple(f"{key}=" for key in _ORIGINS)
        kept = (word for word in task if not word.lstrip("+").startswith(first))
        task = [*kept, f"ckpt={in_quotes(str(ckpt))}"]
    command = [*training(), "--config-name", str(hydra.job.config_name)]
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            command += ["--config-dir", source.path]
    return [
        *command,
        *hydra.overrides.hydra,
        *task,
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
