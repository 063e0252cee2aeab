"""The commands as functions, each in a process of its own: any number of times, on any number of devices."""

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

from detection.bounds import Tiles
from detection.checkpoints.runs import run_folder
from detection.cli.quoting import as_value
from detection.settings import Export, ExportFormat
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
    """A checkpoint that was tested, or two that were compared."""

    folder: Path
    metrics: dict[str, Any] = field(repr=False)
    """As ``metrics.json`` has them; of two checkpoints by ``a`` and ``b``."""

    @property
    def report(self) -> Path:
        """The page to look at."""
        return max((self.folder / f"{name}.html" for name in ("report", "comparison")), key=Path.exists)


@dataclass(frozen=True)
class Checked:
    """A data set that was looked through."""

    folder: Path
    report: dict[str, Any] = field(repr=False)
    """As ``report.json`` has it."""
    good: bool
    """Whether a training would take it."""


_KEYS = {"backbone": "model/backbone", "root": "data.root"}
_NO_KEYS = ("overrides", "verbose", "fix_to")


def train(
    experiment: str | None = None,
    *,
    data: str | None = None,
    model: str | None = None,
    backbone: str | None = None,
    optimizer: str | None = None,
    scheduler: str | None = None,
    trainer: str | None = None,
    callbacks: Sequence[str] = (),
    logger: Sequence[str] = (),
    debug: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
    init_reuse: Mapping[str, str] | None = None,
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
        backbone: ``resnet50``, ``mobilenet_v2``, and others of ``conf/model/backbone``.
        optimizer: ``sgd`` or ``adamw``.
        scheduler: ``multistep``, ``cosine``, ``one_cycle`` or ``step``.
        trainer: ``cpu``, ``gpu``, ``ddp``, and others of ``conf/trainer``.
        callbacks: such as ``["default", "ema"]``, of ``conf/callbacks``.
        logger: such as ``["csv", "wandb"]``, of ``conf/logger``.
        debug: ``fast``, ``overfit`` or ``profile``.
        name: of the run; by default that of the recipe.
        seed: of weights, sampling and augmentation.
        ckpt: resume this run: a checkpoint, or a run's folder.
        init_from: start from the weights of this checkpoint or run, or of published ones.
        init_reuse: old class by new class, for those of another name.
        run_dir: the folder to write; by default ``runs/<name>/<date>``.
        plugins: packages of yours that register classes.
        overrides: any other setting, as on the command line: ``["data.root=my/set", "optimizer.lr=0.01"]``.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    asked = locals().copy()
    folder = _folder(run_dir, name or experiment or model or "ssd", ckpt)
    _run("train", asked | {"run_dir": folder})
    return Run(folder, _json(folder / "metrics.json"))


def evaluate(
    ckpt: str | Path | Sequence[str | Path],
    *,
    data: str | None = None,
    split: Literal["test", "val", "train"] | None = None,
    threshold: float | None = None,
    num_images: int | None = None,
    tiles: Tiles | None = None,
    overlap: float | None = None,
    flip: bool = False,
    trainer: str | None = None,
    run_dir: str | Path | None = None,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Evaluation:
    """Test a checkpoint and write a report.

    Args:
        ckpt: a checkpoint, or the name of published weights; or two of the same classes, to compare.
        data: where images come from, such as ``auto``, ``voc07`` or ``coco``.
        split: what to test on; by default ``test``.
        threshold: of the score, for metrics that need one; by default that of the best F1.
        num_images: so many of the worst and of the best images are shown.
        tiles: see ``Detector.predict``, and there ``overlap`` and ``flip``.
        overlap: by default 0.2.
        flip: whether to look at mirror images, too.
        trainer: see ``train``.
        run_dir: the folder to write; by default ``runs/evaluate/<date>``.
        plugins: see ``train``.
        overrides: any other setting, such as ``["data.root=my/set"]``.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    asked = locals().copy()
    folder = _folder(run_dir, "evaluate")
    _run("evaluate", asked | {"run_dir": folder})
    if isinstance(ckpt, str | Path) or len(ckpt) == 1:
        return Evaluation(folder, _json(folder / "metrics.json"))
    return Evaluation(folder, {name: _json(folder / name / "metrics.json") for name in "ab"})


def export(
    ckpt: str | Path,
    output: str | Path | None = None,
    *,
    format: ExportFormat = "onnx",
    input: Literal["uint8", "float32"] = "uint8",
    images: str | Path | None = None,
    num_images: int | None = None,
    int8: bool = False,
    half: bool = False,
    calibration_images: int | None = None,
    data: str | None = None,
    split: Literal["val", "test"] | None = None,
    overwrite: bool = False,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Path:
    """Write a trained detector as ONNX, OpenVINO or torch.export, and compare the file with the network.

    Args:
        ckpt: a checkpoint, or the name of published weights.
        output: the file to write; by default beside the checkpoint.
        format: of the file.
        input: the type of its images.
        images: compare on these images of yours, a folder or a pattern.
        num_images: how many to compare on.
        int8: whether to write ``<name>_int8``, too; needs ``data``.
        half: whether to write ``<name>_half``, too, of OpenVINO; needs ``data``.
        calibration_images: of the training split, from which ``int8`` learns its ranges.
        data: images to compare on, to measure on, and for ``int8`` to calibrate on.
        split: of ``data``, to compare and to measure on; by default ``val``.
        overwrite: whether to replace an existing file.
        plugins: see ``train``.
        overrides: any other setting, such as ``["data.root=my/set"]``.
        verbose: whether to print what the command prints.

    Returns:
        The file.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    _run("export", locals().copy())
    return Export(str(ckpt), format, None if output is None else str(output)).path


def check(
    root: str | Path | None = None,
    *,
    data: str = "auto",
    model: str | None = None,
    experiment: str | None = None,
    min_side: float | None = None,
    workers: int | None = None,
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
        min_side: boxes with a side below so many pixels are reported.
        workers: threads that decode images.
        fix_to: write a copy that training takes to this folder, which must not exist yet.
        run_dir: the folder of the report; by default ``runs/check/<date>``.
        overrides: see ``train``.
        verbose: whether to print what the command prints.

    Raises:
        CommandError: the set could not be looked through; the message says why.
    """
    asked = locals().copy()
    folder = _folder(run_dir, "check")
    (folder / "report.json").unlink(missing_ok=True)
    asked |= {"output": fix_to, "fix": fix_to is not None, "run_dir": folder}
    code = _run("check", asked, ends_with=(0, 1), leaves=folder / "report.json")
    return Checked(folder, _json(folder / "report.json"), code == 0)


def _folder(run_dir: str | Path | None, name: str, ckpt: str | Path | None = None) -> Path:
    """The folder that a command writes: the one that is named, that of the resumed run, or a new one."""
    resumed, now = None if ckpt is None else str(ckpt), f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    return Path(run_dir or run_folder(resumed, name, now)).expanduser().resolve()


def _run(
    verb: str, asked: Mapping[str, Any], ends_with: Sequence[int] = (0,), leaves: Path | None = None
) -> int:
    """Run a command to its end. Names of arguments are names of keys, but for ``_KEYS``."""
    if isinstance(overrides := asked["overrides"], str):
        raise TypeError(f"overrides={overrides!r}: give a list, such as [{overrides!r}].")
    given = {name: value for name, value in asked.items() if name not in _NO_KEYS and value not in (None, ())}
    # Bare words and paths are typed bare, so that a path's ~ is the home folder.
    values = {name: value if isinstance(value, str) else as_value(value) for name, value in given.items()}
    words = [f"{_KEYS.get(name, name)}={value}" for name, value in values.items()]
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


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
