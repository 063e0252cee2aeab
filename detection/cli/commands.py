"""The commands as functions: each runs in a process of its own, prints nothing, and returns what was written.

So they work any number of times in one program or notebook, on several devices, too, and take what the
command line takes, by the same names.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from detection.checkpoints.runs import run_folder
from detection.system.processes import PACKAGE


class CommandError(RuntimeError):
    """A command ended with an error; the message is what it would have told its user."""


@dataclass(frozen=True)
class Run:
    """A training that has ended."""

    folder: Path
    metrics: dict[str, float] = field(repr=False)
    """The final metrics, ``test/map`` among them."""

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "checkpoints" / "best.ckpt"


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint that was tested."""

    folder: Path
    metrics: dict[str, Any] = field(repr=False)
    """As ``metrics.json`` has them."""

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"


@dataclass(frozen=True)
class Checked:
    """A data set that was looked through."""

    folder: Path
    report: dict[str, Any] = field(repr=False)
    """As ``report.json`` has it."""
    good: bool
    """Whether a training would take it."""


def train(
    experiment: str | None = None,
    *,
    data: str | None = None,
    model: str | None = None,
    trainer: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
    run_dir: str | Path | None = None,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Run:
    """Train a detector and test its best checkpoint.

    Args:
        experiment: a recipe, such as ``finetune``.
        data: where images come from, such as ``auto``, ``voc07`` or ``coco``.
        model: ``ssd`` or ``faster_rcnn``, and others of ``conf/model``.
        trainer: ``cpu``, ``gpu``, ``ddp``, and others of ``conf/trainer``.
        name: of the run; by default that of the recipe.
        seed: of weights, sampling and augmentation.
        ckpt: resume this run: a checkpoint, or a run's folder.
        init_from: start from the weights of this checkpoint or run, or of published ones.
        run_dir: the folder to write; by default ``runs/<name>/<date>``.
        plugins: packages of yours that register classes.
        overrides: any other setting, as on the command line: ``["data.root=my/set", "optimizer.lr=0.01"]``.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    named = name or experiment or model or "ssd"
    folder = _folder(run_dir, named, ckpt)
    keys: dict[str, Any] = {
        "experiment": experiment,
        "data": data,
        "model": model,
        "trainer": trainer,
        "name": name,
        "seed": seed,
    }
    keys |= {"ckpt": ckpt, "init_from": init_from, "run_dir": folder, "plugins": plugins}
    _run("train", keys, overrides, verbose)
    return Run(folder, _json(folder / "metrics.json"))


def evaluate(
    ckpt: str | Path,
    *,
    data: str | None = None,
    split: Literal["test", "val", "train"] | None = None,
    threshold: float | None = None,
    trainer: str | None = None,
    run_dir: str | Path | None = None,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Evaluation:
    """Test a checkpoint and write a report.

    Args:
        ckpt: a checkpoint, or the name of published weights.
        data: where images come from, such as ``auto``, ``voc07`` or ``coco``.
        split: what to test on; by default ``test``.
        threshold: of the score, for metrics that need one; by default that of the best F1.
        trainer: see ``train``.
        run_dir: the folder to write; by default ``runs/evaluate/<date>``.
        plugins: see ``train``.
        overrides: any other setting, such as ``["data.root=my/set"]``.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    folder = _folder(run_dir, "evaluate")
    keys = {"ckpt": ckpt, "data": data, "split": split, "threshold": threshold, "trainer": trainer}
    _run("evaluate", {**keys, "run_dir": folder, "plugins": plugins}, overrides, verbose)
    return Evaluation(folder, _json(folder / "metrics.json"))


def export(
    ckpt: str | Path,
    output: str | Path | None = None,
    *,
    format: Literal["onnx", "torch_export"] = "onnx",
    images: str | Path | None = None,
    int8: bool = False,
    data: str | None = None,
    overwrite: bool = False,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Path:
    """Write a trained detector as ONNX or torch.export, and compare the file with the network.

    Args:
        ckpt: a checkpoint, or the name of published weights.
        output: the file to write; by default beside the checkpoint.
        format: of the file.
        images: compare on these images of yours, a folder or a pattern.
        int8: whether to write ``<name>_int8.onnx``, too; needs ``data``.
        data: images to compare on, and for ``int8`` to calibrate and to measure on.
        overwrite: whether to replace an existing file.
        plugins: see ``train``.
        overrides: any other setting, such as ``["data.root=my/set"]``.
        verbose: whether to print what the command prints.

    Returns:
        The file.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    keys = {"ckpt": ckpt, "output": output, "format": format, "images": images, "int8": int8, "data": data}
    _run("export", {**keys, "overwrite": overwrite, "plugins": plugins}, overrides, verbose)
    ending = {"onnx": ".onnx", "torch_export": ".pt2"}[format]
    return Path(output or Path(str(ckpt)).with_suffix(ending)).expanduser()


def check(
    root: str | Path | None = None,
    *,
    data: str = "auto",
    model: str | None = None,
    experiment: str | None = None,
    fix_to: str | Path | None = None,
    run_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Checked:
    """Look for everything that is wrong with a data set.

    Args:
        root: the folder of the set.
        data: its layout, such as ``auto``, ``voc_custom`` or ``coco``.
        model: whose anchors are compared with the boxes.
        experiment: a recipe, for its model and its data.
        fix_to: write a copy that training takes to this folder, which must not exist yet.
        run_dir: the folder of the report; by default ``runs/check/<date>``.
        overrides: any other setting.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: the set could not be looked through; the message says why.
    """
    folder = _folder(run_dir, "check")
    keys: dict[str, Any] = {
        "data": data,
        "data.root": root,
        "model": model,
        "experiment": experiment,
        "output": fix_to,
    }
    keys |= {"fix": True if fix_to else None, "run_dir": folder}
    (folder / "report.json").unlink(missing_ok=True)
    code = _run("check", keys, overrides, verbose, ends_with=(0, 1), leaves=folder / "report.json")
    return Checked(folder, _json(folder / "report.json"), code == 0)


def _folder(run_dir: str | Path | None, name: str, ckpt: str | Path | None = None) -> Path:
    """The folder that a command writes: the one that is named, that of the resumed run, or a new one."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    chosen = run_dir or run_folder(None if ckpt is None else str(ckpt), name, now)
    return Path(chosen).expanduser().resolve()


def _run(
    verb: str,
    keys: Mapping[str, Any],
    overrides: Sequence[str],
    verbose: bool,
    ends_with: Sequence[int] = (0,),
    leaves: Path | None = None,
) -> int:
    """Run a command to its end, and return its exit status."""
    if isinstance(overrides, str):
        raise TypeError(f"overrides={overrides!r}: give a list, such as [{overrides!r}].")
    words = [f"{key}={_typed(value)}" for key, value in keys.items() if value is not None and value != ()]
    # In the folder of the caller, wherever the package lies.
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told,
        subprocess.Popen(
            [sys.executable, "-m", f"detection.{verb}", *words, *map(str, overrides)],
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
                if verbose:
                    print(line, end="", flush=True)
        except BaseException:  # a notebook's interrupt reaches the caller alone
            process.send_signal(signal.SIGINT)
            raise
        code = process.wait()
        told.seek(0)
        complaint = told.read().strip()
    if code not in ends_with or (code and leaves and not leaves.exists()):
        raise CommandError(complaint or f"detection {verb} ended with exit status {code}.")
    return code


def _typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
