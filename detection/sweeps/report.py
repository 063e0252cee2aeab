"""The table at the end of a sweep, from what its jobs left in their folders.

``python -m detection.sweeps.report runs/sweeps/<date>`` prints it at any time, of a running sweep too.
"""

import csv
import json
import math
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from detection.sweeps.job import ENDED, ERROR, FOUND, METRICS, PRUNED, words_of
from detection.system.console import plain_console
from detection.system.endings import say_at_the_end
from detection.system.processes import as_typed, command_again
from detection.system.wording import counted

_WITHOUT_METRICS = ("check", "benchmark")  # commands whose jobs have nothing to compare
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")  # as Hydra writes what a sweep has chosen
_OF_EVALUATIONS = "voc/map_07"  # by which their reports are compared


@dataclass(frozen=True)
class Run:
    """One job of a sweep.

    Attributes:
        name: its folder, within the sweep's.
        overrides: what it was given on its command line, key by key.
        metrics: its final metrics, or what ``find`` found as ``found``; empty where it did not finish.
        status: finished, out of time (ended by ``trainer.max_time``), pruned, failed, or unfinished (still
            running, or broken off with its sweep).
        error: why it failed, or where it ended out of time.
        tested_on: which images its test metrics are of.
    """

    name: str
    overrides: dict[str, str]
    metrics: dict[str, float]
    status: str
    error: str = ""
    tested_on: str = ""


def collect_runs(folder: Path, metric: str, maximize: bool) -> list[Run]:
    """Read what the jobs of a sweep left.

    Args:
        folder: the sweep's folder.
        metric: what to sort by.
        maximize: whether more is better.

    Returns:
        The runs, the best one first, those without the metric last.
    """
    runs = [_read_run(path.parent.parent, folder) for path in folder.rglob(".hydra/overrides.yaml")]

    def order(run: Run) -> tuple[float, int, str]:
        value = run.metrics.get(metric, math.nan)
        worse = math.inf if math.isnan(value) else -value if maximize else value
        return worse, len(run.name), run.name  # 2 before 10

    return sorted(runs, key=order)


def _read_run(folder: Path, sweep: Path) -> Run:
    # Hydra's are those of the sweep, also where a run was resumed by itself with others.
    overrides = words_of(folder) or [str(line) for line in OmegaConf.load(folder / ".hydra/overrides.yaml")]
    pairs = dict(_ESCAPED.sub(r"\1", line).lstrip("+").split("=", 1) for line in overrides if "=" in line)
    metrics: dict[str, float | str | None] = {}
    if (folder / METRICS).exists():
        metrics = _flat(json.loads((folder / METRICS).read_text(encoding="utf-8")))
    if (folder / FOUND).exists():
        [found] = json.loads((folder / FOUND).read_text(encoding="utf-8")).values()
        metrics = {"found": found}
    noted, ended = folder / ERROR, str(metrics.get(ENDED) or "")
    error = noted.read_text(encoding="utf-8", errors="replace").strip() if noted.exists() else ""
    if error:
        return Run(str(folder.relative_to(sweep)), pairs, {}, "failed", error)
    status = "out of time" if ended else "finished" if metrics else "unfinished"
    if (folder / PRUNED).exists() and metrics:
        status = "pruned"
    defined = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    tested_on = str(metrics.get("tested_on") or metrics.get("data", ""))
    return Run(str(folder.relative_to(sweep)), pairs, defined, status, ended, tested_on)


def _flat(metrics: dict[str, Any]) -> dict[str, Any]:
    """``{"voc": {"map_07": 0.5}}`` of an evaluation as ``{"voc/map_07": 0.5}``; a training's are flat."""
    protocols = {name: metrics.pop(name) for name in ("voc", "coco") if name in metrics}
    of_all = {f"{name}/{key}": value for name, each in protocols.items() for key, value in each.items()}
    return {**metrics, **of_all}


def swept_keys(runs: list[Run]) -> list[str]:
    """The keys whose values differ between the runs, in the order in which they were given."""
    keys = dict.fromkeys(key for run in runs for key in run.overrides)
    return [key for key in keys if len({run.overrides.get(key) for run in runs}) > 1]


def write_csv(runs: list[Run], metric: str, path: Path) -> None:
    """Write one line per run: its folder, its status, what was swept, every metric, the error.

    Args:
        runs: in the order of the lines.
        metric: the first of the metrics.
        path: the file.
    """
    swept = swept_keys(runs)
    others = {name for run in runs for name in run.metrics} - {metric}
    metrics = [metric, *sorted(others)]
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "status", *swept, *metrics, "error"])
        for run in runs:
            given = [run.overrides.get(key, "") for key in swept]
            reached = [run.metrics.get(name, "") for name in metrics]
            writer.writerow([run.name, run.status, *given, *reached, run.error])


def report(folder: Path) -> list[Run]:
    """Print the table of a sweep and write its ``sweep.csv``.

    Args:
        folder: the sweep's folder.

    Returns:
        The runs, the best one first.
    """
    configs = _configs(folder)
    if not configs:
        raise SystemExit(f"{folder}: no run of a sweep has started here.")
    config = OmegaConf.load(configs[0])
    metric = OmegaConf.select(config, "optimized_metric") or _OF_EVALUATIONS
    maximize = OmegaConf.select(config, "optimized_direction") != "minimize"
    title, digits = "runs, the best one first", ".4f"
    if looked_for := OmegaConf.select(config, "find"):
        metric, maximize = "found", True
        title, digits = f"what find={looked_for} found", ".2g"
    runs = collect_runs(folder, metric, maximize)
    write_csv(runs, metric, folder / "sweep.csv")
    swept = swept_keys(runs)
    table = Table("run", *swept, metric, "status", title=title)
    for run in runs:
        value = f"{run.metrics[metric]:{digits}}" if metric in run.metrics else ""
        table.add_row(run.name, *(run.overrides.get(key, "") for key in swept), value, run.status)
    console = plain_console()
    console.print(table)
    if metric.startswith(("test/", "voc/")):
        for tested_on in sorted({run.tested_on for run in runs if run.tested_on}):
            console.print(f"Tested on {tested_on}.", highlight=False, soft_wrap=True)
    console.print(f"Kept in {folder / 'sweep.csv'}", highlight=False, soft_wrap=True)
    return runs


def _configs(folder: Path) -> list[Path]:
    """What each run that has started leaves first."""
    return sorted(folder.rglob(".hydra/config.yaml"))


def how_to_go_on(folder: str) -> str:
    """What to type to go on with a sweep that is stopped: the command that was typed, and its folder.

    Args:
        folder: the sweep's.
    """
    command = as_typed(
        [*command_again(sys.argv[0]), *sys.argv[1:], f"hydra.sweep.dir={Path(folder).resolve()}"]
    )
    return f"To go on with this sweep:\n  {command}"


class SweepReport(Callback):
    """Ends a sweep with the table of its runs, and with exit status 1 and the reasons when some failed.

    A sweep of trainings that is stopped says how to go on with it.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Be ready to say it."""
        if OmegaConf.select(config, "hydra.job.config_name") == "train":
            say_at_the_end(partial(how_to_go_on, str(config.hydra.sweep.dir)))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report on the runs in the sweep's folder.

        Raises:
            SystemExit: naming the runs that failed.
        """
        if OmegaConf.select(config, "hydra.job.config_name") in _WITHOUT_METRICS:
            return
        folder = Path(config.hydra.sweep.dir)
        # Hydra 1.4 calls this on its way out, too: what kept all runs from starting is told by it.
        if sys.exc_info()[0] is not None and not _configs(folder):
            return
        runs = report(folder)
        failed = [run for run in runs if run.status == "failed"]
        if failed:
            # Of a wrong configuration the second line says what is wrong with it.
            reasons = [" ".join(map(str.strip, run.error.splitlines()[:2])) for run in failed]
            lines = [f"  {run.name}: {why}" for run, why in zip(failed, reasons, strict=True)]
            raise SystemExit("\n".join([f"{len(failed)} of {counted(len(runs), 'run')} failed:", *lines]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("python -m detection.sweeps.report <folder of a sweep>")
    report(Path(sys.argv[1]))
