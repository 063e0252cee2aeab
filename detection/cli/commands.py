"""The commands as functions, each in a process of its own: any number of times, on any number of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from detection.bounds import Tiles
from detection.cli.command_process import check_paths, new_folder, read_json, run
from detection.settings import Export, ExportFormat, Share
from detection.validation.arguments import telling_our_words


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


@telling_our_words
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
    check_paths(train, asked)
    folder = new_folder(run_dir, name or experiment or model or "ssd", ckpt)
    run("train", asked | {"run_dir": folder})
    return Run(folder, read_json(folder / "metrics.json"))


@telling_our_words
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
    check_paths(evaluate, asked)
    folder = new_folder(run_dir, "evaluate")
    run("evaluate", asked | {"run_dir": folder})
    if isinstance(ckpt, str | Path) or len(ckpt) == 1:
        return Evaluation(folder, read_json(folder / "metrics.json"))
    return Evaluation(folder, {name: read_json(folder / name / "metrics.json") for name in "ab"})


@telling_our_words
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
    tiles: Tiles | None = None,
    overlap: float | None = None,
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
        tiles: to compare and to measure on tiles of the images, too; see ``Detector.predict``.
        overlap: of tiles, see there.
        overwrite: whether to replace an existing file.
        plugins: see ``train``.
        overrides: any other setting, such as ``["data.root=my/set"]``.
        verbose: whether to print what the command prints.

    Returns:
        The file.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    asked = locals().copy()
    check_paths(export, asked)
    run("export", asked)
    return Export(str(ckpt), format, None if output is None else str(output)).path


@telling_our_words
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
    check_paths(check, asked)
    folder = new_folder(run_dir, "check")
    (folder / "report.json").unlink(missing_ok=True)
    asked |= {"output": fix_to, "fix": fix_to is not None, "run_dir": folder}
    code = run("check", asked, ends_with=(0, 1), leaves=folder / "report.json")
    return Checked(folder, read_json(folder / "report.json"), code == 0)


@telling_our_words
def share(
    ckpt: str | Path,
    output: str | Path,
    *,
    repo: str | None = None,
    license: str | None = None,
    plugins: Sequence[str] = (),
    overrides: Sequence[str] = (),
    verbose: bool = False,
) -> Path:
    """Write a detector as a folder to share, and upload it where a repository is named.

    Args:
        ckpt: a checkpoint, or a run's folder, for its best one.
        output: the folder to write, which must not exist yet.
        repo: ``user/name``: upload it there, to the Hugging Face hub; a new repository is private.
        license: what others may do with it, as the hub names it, such as ``apache-2.0``.
        plugins: see ``train``.
        overrides: any other setting, as on the command line.
        verbose: whether to print what the command prints.

    Returns:
        The folder, which ``load`` opens.

    Raises:
        CommandError: it did not end well; the message says why.
    """
    asked = locals().copy()
    check_paths(share, asked)
    run("share", asked)
    return Share(str(ckpt), str(output)).output_folder
