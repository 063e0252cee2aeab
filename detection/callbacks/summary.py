"""What a run leaves for its reader: a table, the final figures, the curves."""

import json
import math
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_only
from rich.table import Table

from detection.console import plain_console
from detection.files import write_text
from detection.tasks.base import DetectionTask
from detection.viz import plot_curves

_SHOWN = (".json", ".csv", ".png", ".ckpt", ".yaml")


def final_figures(trainer: pl.Trainer) -> dict[str, float]:
    """The figures of the test, and the best one of the validations by the name that chose the checkpoint."""
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    checkpoint = trainer.checkpoint_callback
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_score is not None:
        figures[str(checkpoint.monitor)] = float(checkpoint.best_model_score)
    return figures


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """The path of the best checkpoint; None where ``trainer.max_steps`` ended the run before a validation."""
    checkpoint = trainer.checkpoint_callback
    return (checkpoint.best_model_path or None) if isinstance(checkpoint, ModelCheckpoint) else None


class RunSummary(pl.Callback):
    """Writes ``curves.png`` after training, and ``metrics.json`` and a table of APs after the test.

    Args:
        folder: the run's folder, where the CSV logger writes ``metrics.csv``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the curves, where a CSV logger kept the figures."""
        metrics_csv = self.folder / "metrics.csv"
        if metrics_csv.exists():
            plot_curves(metrics_csv, self.folder / "curves.png")

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the final figures and print them."""
        assert isinstance(pl_module, DetectionTask)
        figures = final_figures(trainer)
        # JSON has no nan, which is the AP of a class without objects.
        defined = {name: None if math.isnan(value) else value for name, value in figures.items()}
        write_text(self.folder / "metrics.json", json.dumps(defined, indent=2) + "\n")
        table = Table(title="average precision at IoU 0.5", show_footer=True)
        table.add_column("class", footer="mean, 11 points (VOC07)\nmean, area (VOC10+)")
        means = f"{figures['test/map_07']:.4f}\n{figures['test/map_area']:.4f}"
        table.add_column("AP", justify="right", footer=means)
        for name in pl_module.class_names:
            table.add_row(name, f"{figures[f'test/ap/{name}']:.4f}")
        console = plain_console()
        console.print(table)
        console.print(f"Kept in {self.folder}:", soft_wrap=True)
        for path in sorted([*self.folder.glob("*.*"), *self.folder.glob("checkpoints/*.ckpt")]):
            if path.suffix in _SHOWN:
                console.print(f"  {path.relative_to(self.folder)}", soft_wrap=True)
