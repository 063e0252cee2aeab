"""Test a checkpoint and write a report: ``python -m detection.evaluate --help``."""

import copy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from detection.checkpoints.config_before import words_of_data
from detection.checkpoints.kept_split import keep_split, kept_split, told_of_evaluation
from detection.checkpoints.loading import inputs_of, load_task, open_split
from detection.checkpoints.notes import about, evaluation_precision, notes
from detection.checkpoints.runs import checkpoint_of_run
from detection.cli.compose import (
    checked_config,
    errors_in_a_sentence,
    typed_overrides,
)
from detection.cli.entry import run_with_hints
from detection.cli.faults import faults_in_a_sentence, quieten_lightning
from detection.cli.hydra_versions import hydra_main, instantiate
from detection.cli.run_lines import data_name, next_uses
from detection.settings import Evaluate
from detection.sweeps.job import in_sweep
from detection.system.console import tell
from detection.system.processes import as_typed
from detection.validation.values import typed

if TYPE_CHECKING:
    from detection.callbacks.collect import CollectDetections
    from detection.data.datamodule import DetectionDataModule
    from detection.metrics.analysis import Analysis
    from detection.report.report import Subject
    from detection.tasks.base import DetectionTask
    from detection.tasks.whole_images import WholeImages

# What the checkpoint decides.
_INPUTS = ("size", "transform", "train_transform", "eval_transform", "collate", "overfit_images")


@hydra_main("evaluate")
def main(cfg: DictConfig) -> float:
    """Evaluate one checkpoint; a sweep compares VOC07 mAP."""
    return evaluate(cfg).voc.map_07


def evaluate(cfg: DictConfig) -> "Analysis":
    """Test as configured and write the report into the run's folder; of two checkpoints, a comparison too.

    Returns:
        The metrics; of two checkpoints those of the second.
    """
    config = checked_config(cfg, Evaluate)
    folder = Path(config["run_dir"])
    _refuse_mistakes(folder)
    with faults_in_a_sentence(folder), errors_in_a_sentence():
        quieten_lightning()
        checkpoints = _checkpoints(config["ckpt"])
        if len(checkpoints) == 1:
            analysis = _evaluate_one(config, checkpoints[0], folder)[1]
            if not in_sweep():
                tell(next_uses(checkpoints[0]))
            return analysis
        # Heavy imports wait until there is something to do: --help and typing errors answer at once.
        from detection.report.comparison import Evaluated, write_comparison

        reports = []
        for name, ckpt in zip("ab", checkpoints, strict=True):
            found = str(checkpoint_of_run(ckpt) or ckpt)
            print(f"Checkpoint {name}: {found}", flush=True)
            one = _evaluate_one(copy.deepcopy(config), found, folder / name)
            reports.append(Evaluated(*one, folder / name / "report.html"))
        write_comparison(folder / "comparison.html", reports[0], reports[1], config["num_images"])
        print(f"Both side by side: {folder / 'comparison.html'}")
    return reports[-1].analysis


def _checkpoints(typed: str | Sequence[str]) -> list[str]:
    """One checkpoint, or two to compare; a command line gives two as one text, ``[a.ckpt,b.ckpt]``.

    Raises:
        ValueError: there are more, or none.
    """
    paths = [typed] if isinstance(typed, str) else list(typed)
    if isinstance(typed, str) and typed.startswith("[") and not Path(typed).exists():
        paths = [path.strip() for path in typed.strip("[]").split(",") if path.strip()]
    if len(paths) not in (1, 2):
        raise ValueError(f"ckpt: give one checkpoint, or two to compare, not {len(paths)}.")
    return paths


def _evaluate_one(config: dict[str, Any], ckpt: str, folder: Path) -> tuple["Subject", "Analysis"]:
    """Test one checkpoint and write its report."""
    from detection.callbacks.left_out import beginning, write_list
    from detection.data.nothing import nothing_to_find
    from detection.data.own_sets import OwnDataModule
    from detection.data.shared_memory import check_shared_memory
    from detection.metrics.analysis import analyse
    from detection.report.report import Subject, write_report

    task = load_task(ckpt)
    described = about(task)
    precision, line = evaluation_precision(config["trainer"], task.hparams, typed_overrides())
    config["trainer"]["precision"] = precision
    for told in filter(None, (line, notes(task.hparams, ckpt))):
        tell(told)
    datamodule = instantiate(config["data"], **inputs_of(task))
    datamodule.prepare_data()
    kept = keep_split(datamodule, kept_split(task.hparams, ckpt))
    if isinstance(datamodule, OwnDataModule):
        datamodule.evaluate_whole()
    try:
        words = open_split(datamodule, config["split"], task.class_names, ckpt)
    except FileNotFoundError as error:
        typed_data = any(word.startswith(("data=", "data.root=")) for word in typed_overrides())
        trained_on = [] if typed_data else words_of_data(ckpt)
        if not trained_on:
            raise
        raise FileNotFoundError(f"{error}. That run was trained on {as_typed(trained_on)}.") from error
    check_shared_memory(datamodule, devices=1)
    remarks = [*datamodule.datasets[config["split"]].notes, *told_of_evaluation(datamodule, kept, ckpt)]
    remarks += nothing_to_find(datamodule.datasets)
    for told in remarks:
        tell(told)
    tested = _in_views(config, task, datamodule)
    seen, metrics = _test(config, tested, datamodule)
    problems = datamodule.problems()
    write_list(problems, folder / "left_out.txt")

    classes = len(task.class_names)
    analysis = analyse(seen.detections, seen.targets, classes, config["threshold"], _has_coco())
    subject = Subject(
        ckpt=ckpt,
        command=shlex.join(["python", *sys.orig_argv[1:]]),
        data=f"{data_name(config['data'])}, {datamodule.describe_split(config['split'])}",
        class_names=task.class_names,
        losses={name.partition("/")[2]: value for name, value in metrics.items() if "/loss" in name},
        dataset=datamodule.datasets[config["split"]],
        category_ids=datamodule.datasets[config["split"]].category_ids,
        detections=seen.detections,
        targets=seen.targets,
        about={**described, "precision": str(precision), **_about_views(config)},
        history=_history(ckpt),
        words_of_data=words,
        remarks=remarks,
    )
    write_report(folder, subject, analysis, config["num_images"])
    if any(problems.values()):
        tell(beginning(problems, folder / "left_out.txt"))
    return subject, analysis


def _in_views(
    config: dict[str, Any], task: "DetectionTask", datamodule: "DetectionDataModule"
) -> "DetectionTask | WholeImages":
    """The task; where tiles or mirror images are asked for, what looks at them, given whole images."""
    from detection.prediction.trained import TrainedDetector
    from detection.prediction.views import in_views
    from detection.tasks.whole_images import WholeImages

    if not _about_views(config):
        return task
    detector = TrainedDetector(task, datamodule.eval_transform(datamodule.size), task.hparams)
    views_at_once = datamodule.eval_batch_size or datamodule.images_at_once
    tiles, overlap, flip = (config[key] for key in ("tiles", "overlap", "flip"))
    detect = in_views(detector, detector.input_size, tiles, overlap, flip, views_at_once)
    datamodule.datasets[config["split"]].transform = None
    datamodule.collate = "list"
    if tiles is not None:  # one image fills the batch
        datamodule.eval_batch_size = 1
    return WholeImages(task, detect)


def _about_views(config: dict[str, Any]) -> dict[str, str]:
    """What the page says of tiles and mirror images; empty where none are looked at."""
    said = (
        [f"tiles={typed(config['tiles'])} overlap={config['overlap']}"] if config["tiles"] is not None else []
    )
    said += ["flip=true"] if config["flip"] else []
    return {"views of an image": f"the whole; {', '.join(said)}; without losses"} if said else {}


def _test(
    config: dict[str, Any], task: "DetectionTask | WholeImages", datamodule: "DetectionDataModule"
) -> tuple["CollectDetections", dict[str, float]]:
    """Run the detector over the split, once."""
    from detection.callbacks.collect import CollectDetections
    from detection.callbacks.own_signals import keep_own_signals
    from detection.callbacks.progress import progress_bar
    from detection.models.backbones.folding import fold_for_good

    fold_for_good(task)
    seen = CollectDetections()
    trainer = instantiate(
        config["trainer"], callbacks=[seen, progress_bar()], logger=False, enable_checkpointing=False
    )
    keep_own_signals(trainer)
    if trainer.world_size > 1:
        raise ValueError("A report is made on one device: set trainer.devices=1.")
    trainer.test(task, dataloaders=datamodule.eval_dataloader(config["split"]), verbose=False)
    return seen, {name: float(value) for name, value in trainer.callback_metrics.items()}


def _history(ckpt: str) -> Path | None:
    """``metrics.csv`` of the run that a checkpoint lies in."""
    path = Path(ckpt).expanduser()
    beside = path.parent.parent / "metrics.csv"
    return beside if path.parent.name == "checkpoints" and beside.exists() else None


def _refuse_mistakes(folder: Path) -> None:
    """Refuse a folder in use, and inputs that the checkpoint decides.

    Raises:
        SystemExit: with all mistakes.
    """
    written = ("metrics.json", "report.html", "comparison.html")
    mistakes = {
        f"{folder} holds the metrics of a run or a report already, which are not overwritten: name another "
        "folder, run_dir=...": any((folder / name).exists() for name in written),
    }
    for word in typed_overrides():
        key = word.partition("=")[0].lstrip("+~").replace("/", ".")
        if key.startswith(tuple(f"data.{name}" for name in _INPUTS)):
            mistakes[f"{word}: inputs are made as the checkpoint describes; leave this out"] = True
    found = [message for message, wrong in mistakes.items() if wrong]
    if found:
        raise SystemExit("\n".join(["The configuration has errors; nothing was run.", *found]))


def _has_coco() -> bool:
    from detection.metrics.coco_ap import import_engine

    try:
        import_engine()
    except ImportError as error:
        print(f"Without COCO's metrics: {error}.")
        return False
    return True


if __name__ == "__main__":
    run_with_hints(main, "evaluate")
