"""What each change of a recipe is worth: a list of changes, a few seeds, one table.

    python -m benchmarks.ablation benchmarks/ablations/ssd_recipe.yaml --seeds 0,1 --at-once 2 \
        experiment=ssd_300_mobilenet_v2_voc07 trainer=cpu trainer.max_epochs=8 data.root=...

The list is a YAML file, ``name: [override, ...]``; the recipe without any change, ``base``, is always run.
Each run is one of ``train``'s, in a folder of its own. Ctrl-C and SIGTERM stop all at an optimizer step. The
same command again, on this machine or on one that has got the folder, runs nothing twice: what has its
``metrics.json`` is finished, and what has a checkpoint resumes. The first seed of all changes comes before
the second of any. After each run the table is written anew, and names what did not get its turn.
"""

import argparse
import fnmatch
import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detection.checkpoints.loading import read_checkpoint
from detection.system.files import write_text
from detection.system.processes import num_cores

BASE = "base"
_OF_A_MACHINE = ("data.root=", "data.num_workers=", "model.backbone.weights=")
"""Where things lie may differ from machine to machine, and changes no result."""
_POLL = 0.2  # seconds


@dataclass(frozen=True)
class Run:
    """One training."""

    change: str
    seed: int
    words: tuple[str, ...]
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.change}, seed {self.seed}"

    @property
    def record_file(self) -> Path:
        """What this tool keeps of a run: its words, and the time that it took, over all its parts."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def last(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    def record(self) -> dict[str, Any]:
        """Empty before its first start."""
        found: dict[str, Any] = json.loads(self.record_file.read_text()) if self.record_file.exists() else {}
        return found

    def keep(self, **told: Any) -> None:
        """Add to the record."""
        write_text(self.record_file, json.dumps(self.record() | told, indent=2) + "\n")

    def is_finished(self) -> bool:
        return (self.folder / "metrics.json").exists()

    def metrics(self) -> dict[str, Any] | None:
        """The final ones; None where the run is not finished, or its end has not been noted."""
        if not self.is_finished() or "images" not in self.record():
            return None
        found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text())
        return found

    def note_end(self) -> None:
        """Keep how many images it has learned from, as the checkpoint at its end counts them."""
        checkpoint = read_checkpoint(self.last)
        images_per_step = checkpoint["hyper_parameters"]["training"]["images_per_step"]
        self.keep(images=checkpoint["global_step"] * images_per_step)


def read_changes(path: Path, only: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The changes of a list, the recipe itself first.

    Args:
        path: of the list.
        only: the names to take; None for all.

    Raises:
        SystemExit: it is no such list, or has no such name.
    """
    found = yaml.safe_load(path.read_text())
    if not isinstance(found, dict) or not all(isinstance(words, list) for words in found.values()):
        raise SystemExit(f"{path}: write a list of overrides for each name, such as no_crop: [a.b=false].")
    changes = {str(name): [str(word) for word in words] for name, words in found.items()}
    for name in changes:
        if name == BASE or not re.fullmatch(r"[\w.-]+", name):
            raise SystemExit(f"{path}: {name!r} names a folder: use letters, digits and _, and not {BASE}.")
    if unknown := set(only or ()) - {BASE, *changes}:
        raise SystemExit(f"--only: {path} has {', '.join(changes)}, not {', '.join(sorted(unknown))}.")
    return {BASE: [], **{name: words for name, words in changes.items() if only is None or name in only}}


def plan(
    changes: Mapping[str, Sequence[str]], shared: Sequence[str], seeds: Sequence[int], folder: Path
) -> list[Run]:
    """All runs in the order of their turns.

    Args:
        changes: the overrides of each.
        shared: those of all.
        seeds: of each change.
        folder: where the runs lie.

    Raises:
        SystemExit: the folder holds one of them, made with other words.
    """
    runs = []
    for seed in seeds:
        for change, words in changes.items():
            run = Run(change, seed, (*shared, *words, f"seed={seed}"), folder / change / f"seed_{seed}")
            before, now = _lasting(run.record().get("words", run.words)), _lasting(run.words)
            if before != now:
                raise SystemExit(
                    f"{run.folder} was trained with other words ({' '.join(sorted(before ^ now))}): "
                    "give those of then, or another --folder."
                )
            runs.append(run)
    return runs


def _lasting(words: Sequence[str]) -> set[str]:
    return {word for word in words if not word.startswith(_OF_A_MACHINE)}


class Turns:
    """Runs some trainings at a time, which share the cores.

    Args:
        python: the words that start Python.
        at_once: how many.
    """

    def __init__(self, python: Sequence[str], at_once: int) -> None:
        self._python, self._at_once = python, at_once
        self._threads = str(max(1, num_cores() // at_once))
        self._running: dict[Run, tuple[subprocess.Popen[bytes], float]] = {}

    def take(self, runs: Sequence[Run], after_each: Callable[[], None]) -> None:
        """Run those that are not finished; where this is interrupted, each keeps the step it has come to.

        Args:
            runs: in the order of their turns.
            after_each: called when one has ended.
        """
        waiting = [run for run in runs if not run.is_finished()]
        for run in runs:
            if run.is_finished() and "images" not in run.record():
                run.note_end()  # this program had been killed
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self._at_once:
                    self._start(waiting.pop(0))
                time.sleep(_POLL)
                for _ in self._ended(os.WNOHANG):
                    after_each()
        finally:
            for process, _ in self._running.values():
                os.kill(
                    process.pid, signal.SIGTERM
                )  # Popen's own would take the status of one that has ended
            for _ in self._ended(0):
                after_each()

    def _start(self, run: Run) -> None:
        resumes = run.last.exists()
        words = [*run.words, f"run_dir={run.folder}", *(["ckpt=last"] if resumes else [])]
        run.folder.parent.mkdir(parents=True, exist_ok=True)
        run.keep(
            **{"seconds": 0.0, "processor_seconds": 0.0, **run.record(), "words": run.words, "failed": None}
        )
        print(f"{'resumes' if resumes else 'starts'}: {run.name}", flush=True)
        with run.log.open("a") as log:
            process = subprocess.Popen(
                [*self._python, "-m", "detection.train", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": self._threads, "MKL_NUM_THREADS": self._threads},
                start_new_session=True,  # Ctrl-C is passed on once, by this process
            )
        self._running[run] = process, time.monotonic()

    def _ended(self, options: int) -> Iterator[Run]:
        """Those that have ended; how and after what time is noted."""
        for run, (process, start) in list(self._running.items()):
            pid, status, usage = os.wait4(process.pid, options)  # Popen does not tell the processor's time
            if not pid:
                continue
            del self._running[run]
            process.returncode = os.waitstatus_to_exitcode(status)
            before = run.record()
            run.keep(
                seconds=before["seconds"] + time.monotonic() - start,
                processor_seconds=before["processor_seconds"] + usage.ru_utime + usage.ru_stime,
                machine=_machine(),
                date=time.strftime("%Y-%m-%d"),
            )
            if run.is_finished():
                run.note_end()
            elif process.returncode not in (-signal.SIGTERM, 128 + signal.SIGTERM):
                lines = run.log.read_text(errors="replace").strip().splitlines()
                run.keep(failed=lines[-1] if lines else f"exit status {process.returncode}")
            print(f"ended: {run.name}", flush=True)
            yield run


def _machine() -> str:
    try:
        told = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        told = None
    return f"{num_cores()} cores of {told[1] if told else platform.machine()}"


def table(runs: Sequence[Run], shared: Sequence[str], metric: str) -> str:
    """The results so far, in Markdown.

    Args:
        runs: all that are planned.
        shared: the words that all of them have.
        metric: an average precision of ``metrics.json``, or a pattern of several: their mean.

    Raises:
        SystemExit: a finished run has no such metric.
    """
    values: dict[str, dict[int, float]] = {}
    for run in runs:
        if (metrics := run.metrics()) is not None:
            values.setdefault(run.change, {})[run.seed] = _value(metrics, metric, run)
    base = values.get(BASE, {})
    told = " ".join(word for word in shared if not word.startswith(_OF_A_MACHINE))
    lines = [f"`{told}`", "", f"| change | seeds | {metric} | more than {BASE} | minutes | images/s |"]
    lines.append("| --- " * 6 + "|")
    for change, of_seeds in values.items():
        gains = [value - base[seed] for seed, value in of_seeds.items() if seed in base and change != BASE]
        records = [run.record() for run in runs if run.change == change and run.seed in of_seeds]
        seconds = sum(record["processor_seconds"] for record in records)
        speed = sum(record["images"] for record in records) / max(seconds, 1e-9)
        result = f"| {change} | {len(of_seeds)} | {_spread(of_seeds.values())} | {_spread(gains, '+')} "
        lines.append(f"{result}| {seconds / len(records) / 60:.1f} | {speed:.1f} |")
    lines += ["", *_unfinished(runs), _EXPLAINED, *_where(runs)]
    return "\n".join(lines) + "\n"


_EXPLAINED = """\
In %: the mean over the seeds (lowest..highest), and that of the differences seed by seed. Minutes of the
processor for a whole run, and training images per second of them."""


def _value(metrics: Mapping[str, Any], metric: str, run: Run) -> float:
    values = [metrics[name] for name in fnmatch.filter(metrics, metric)]
    if not values:
        raise SystemExit(f"--metric {metric}: {run.folder} has {', '.join(sorted(metrics))}.")
    return math.nan if None in values else 100 * statistics.mean(values)


def _spread(values: Collection[float], sign: str = "") -> str:
    """``41.0 (40.8..41.2)``; one value alone has no spread."""
    if not values:
        return ""
    mean, low, high = (f"{value:{sign}.1f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({low}..{high})"


def _unfinished(runs: Sequence[Run]) -> list[str]:
    """What has no result, and why."""
    waiting: dict[str, list[str]] = {"Did not get their turn": [], "Stopped before the end": []}
    failed = []
    for run in runs:
        if run.metrics() is not None:
            continue
        record = run.record()
        if record.get("failed"):
            failed.append(f"Failed: {run.name}: {record['failed']} ({run.log})")
        else:
            waiting["Stopped before the end" if record else "Did not get their turn"].append(run.name)
    lines = [f"{why}: {'; '.join(names)}." for why, names in waiting.items() if names] + failed
    return [text for line in lines for text in (line, "")]


def _where(runs: Sequence[Run]) -> list[str]:
    """The machines, and the days."""
    records = [run.record() for run in runs if run.metrics() is not None]
    places = sorted({f"{record['machine']}, {record['date']}" for record in records})
    return ["", f"{'; '.join(places)}."] if places else []


def main(words: Sequence[str] | None = None, python: Sequence[str] = (sys.executable,)) -> None:
    """Run what has not been run, and write the table after each.

    Args:
        words: of the command line.
        python: the words that start Python.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("list", type=Path, help="the YAML file of the changes")
    parser.add_argument("overrides", nargs="*", help="what all runs share, the recipe among it")
    parser.add_argument("--seeds", default="0", help="such as 0,1")
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--only", help="names of the list, such as no_crop,ema; base is run in any case")
    parser.add_argument("--folder", type=Path, help="runs/ablation/<the list> by default")
    parser.add_argument(
        "--metric", default="test/map", help="of metrics.json; of several the mean: 'test/ap/rare_*'"
    )
    given = parser.parse_intermixed_args(words)
    changes = read_changes(given.list, given.only.split(",") if given.only else None)
    folder = (given.folder or Path("runs/ablation") / given.list.stem).resolve()
    runs = plan(changes, given.overrides, [int(seed) for seed in given.seeds.split(",")], folder)

    def write_table() -> None:
        write_text(folder / "table.md", table(runs, given.overrides, given.metric))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        Turns(python, max(1, given.at_once)).take(runs, write_table)
    except KeyboardInterrupt:
        print("Stopped: the same command resumes.")
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"\n{table(runs, given.overrides, given.metric)}\nKept in {folder}")
    if any(run.record().get("failed") for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
