"""What a run leaves for its reader: a table, the final metrics, the curves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, Timer
from pytorch_lightning.utilities import rank_zero_only
from rich.table import Table

from detection.callbacks.best_checkpoint import BestCheckpoint
from detection.data.datamodule import DetectionDataModule
from detection.drawing.plots import plot_curves
from detection.system.console import tell
from detection.system.files import write_text
from detection.system.wording import counted
from detection.tasks.base import DetectionTask

_FEW = 30  # objects of a class; then the standard error of a recall is up to nine points
_SHOWN = 5


def final_metrics(trainer: pl.Trainer) -> dict[str, float]:
    """The metrics of the test, and the best one of the validations by the name that chose the checkpoint."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    checkpoint = trainer.checkpoint_callback
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_score is not None:
        # Lightning calls the best of undefined metrics infinite.
        best = float(checkpoint.best_model_score)
        metrics[str(checkpoint.monitor)] = best if math.isfinite(best) else math.nan
    return metrics


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """The path of the best checkpoint; of the last one where no metric tells which is the best.

    None where the run ended without a validation, and nothing kept its last state.
    """
    kept = [found for found in trainer.checkpoint_callbacks if isinstance(found, ModelCheckpoint)]
    if kept and kept[0].best_model_score is not None and not math.isfinite(kept[0].best_model_score):
        kept = [found for found in kept if found.monitor is None] or kept
    return (kept[0].best_model_path or None) if kept else None


def ran_out_of_time(trainer: Any) -> bool:
    """Whether the fit was ended by ``trainer.max_time``, which is not all that says how long it lasts."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    left = [timer.time_remaining() for timer in timers]
    if all(seconds is None or seconds > 0 for seconds in left):
        return False
    epochs, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress
    is_complete = epochs.processed == trainer.max_epochs and batches.is_last_batch
    return not is_complete and trainer.max_epochs not in (None, -1)


def tested_on(trainer: pl.Trainer) -> str:
    """What was tested: ``test, 500 images``; nothing where the loader alone was given."""
    datamodule = _datamodule(trainer)
    return datamodule.describe_split("test") if datamodule else ""


def _datamodule(trainer: pl.Trainer) -> DetectionDataModule | None:
    datamodule: object = getattr(trainer, "datamodule", None)
    return datamodule if isinstance(datamodule, DetectionDataModule) else None


def _few_objects(trainer: pl.Trainer) -> str:
    """What to think of the APs of classes with few objects; nothing where there is none."""
    datamodule = _datamodule(trainer)
    if datamodule is None or "test" not in datamodule.datasets:
        return ""
    counts = datamodule.datasets["test"].objects_by_class()
    few = sorted((count, name) for name, count in counts.items() if 0 < count < _FEW)
    if not few:
        return ""
    shown = ", ".join(f"{name} {count}" for count, name in few[:_SHOWN])
    more = f" and {counted(len(few) - _SHOWN, 'class')} more" if len(few) > _SHOWN else ""
    # The standard error of a recall of a half, which is the largest.
    points = 50 / math.sqrt(few[0][0])
    guess = f"Such an AP is a rough guess, give or take {points:.0f} points for {few[0][1]}."
    return f"Few objects: {shown}{more}. {guess}"


class RunSummary(pl.Callback):
    """Writes ``curves.png`` after training, and ``metrics.json`` and a table of APs after the test.

    Args:
        folder: the run's folder, where the CSV logger writes ``metrics.csv``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._ended = ""  # before the last epoch, and how

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See to it that each epoch is in the curves, where it has few steps."""
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = min(trainer.log_every_n_steps, steps)  # type: ignore[attr-defined]

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the curves, where a CSV logger kept the metrics; know how the training ended."""
        if ran_out_of_time(trainer):  # the test puts its timer back to where the best checkpoint was
            done, all_of = trainer.current_epoch, trainer.max_epochs or 0
            self._ended = f"by trainer.max_time, after {done} of {counted(all_of, 'epoch')}"
        metrics_csv = self.folder / "metrics.csv"
        if metrics_csv.exists():
            plot_curves(metrics_csv, self.folder / "curves.png")

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the final metrics and print them."""
        metrics = final_metrics(trainer)
        # JSON has no nan, which is the AP of a class without objects.
        defined: dict[str, float | str | None] = {
            name: value if math.isfinite(value) else None for name, value in metrics.items()
        }
        tested = tested_on(trainer)
        if tested:
            defined["tested_on"] = tested
        if self._ended:
            defined["ended"] = self._ended
        write_text(self.folder / "metrics.json", json.dumps(defined, indent=2) + "\n")
        assert isinstance(pl_module, DetectionTask)
        validated = None if tested.startswith("test = val") else _best_validation(trainer)
        tell(_table(metrics, pl_module.class_names, tested, validated))
        if tested:
            tell(f"Tested on {tested}.")
        if few := _few_objects(trainer):
            tell(few)
        tell(f"Kept in {self.folder}:")
        for path in sorted([*self.folder.glob("*.*"), *self.folder.glob("checkpoints/*.ckpt")]):
            if path.is_file() and path.suffix != ".log" and not path.name.startswith("."):
                tell(f"  {path.relative_to(self.folder)}")


def _best_validation(trainer: pl.Trainer) -> BestCheckpoint | None:
    """What knows the metrics of the epoch that was tested; nothing where a checkpoint alone was tested."""
    best = trainer.checkpoint_callback
    return best if isinstance(best, BestCheckpoint) and best.best_metrics else None


def _table(
    metrics: dict[str, float], class_names: Sequence[str], tested: str, best: BestCheckpoint | None
) -> Table:
    columns = {"test": metrics}
    title = "average precision at IoU 0.5" + (f"\n{tested}" if tested else "")
    if best is not None and best.best_metrics is not None:
        title += f"\nweights of epoch {best.best_epoch}, the best by {best.monitor}"
        columns = {"val": best.best_metrics, **columns}
    table = Table(title=title, show_footer=True)
    table.add_column("class", footer="mean, 11 points (VOC07)\nmean, area (VOC10+)")
    for split, values in columns.items():
        means = "\n".join(_shown(values, f"{split}/{mean}") for mean in ("map_07", "map_area"))
        table.add_column(split if best else "AP", justify="right", footer=means)
    for name in class_names:
        table.add_row(name, *(_shown(values, f"{split}/ap/{name}") for split, values in columns.items()))
    return table


def _shown(metrics: dict[str, float], name: str) -> str:
    """A dash stands for the AP of a class that has no object to find."""
    value = metrics.get(name, math.nan)
    return f"{value:.4f}" if math.isfinite(value) else "-"
