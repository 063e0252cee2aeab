"""A CSV logger for runs that go on."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter


class CSVHistory(CSVLogger):
    """Writes ``metrics.csv`` and keeps what an earlier part of the run wrote there.

    Lightning's own logger deletes the file when a run resumes. Here the rows of steps that are repeated,
    those after the checkpoint, give way to the new ones.

    Args:
        folder: where ``metrics.csv`` is.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(save_dir=folder, name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the file."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        assert isinstance(self._experiment, _Writer)
        return self._experiment


class _Writer(ExperimentWriter):
    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.path = Path(self.metrics_file_path)
        self.goes_on = self.path.exists()
        if self.goes_on:
            with self.path.open(newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])

    def _check_log_dir_exists(self) -> None:
        """Nothing to check or to delete: the folder is the run's own."""

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        if self.goes_on and step is not None:
            self._forget_from(step)
            self.goes_on = False
        super().log_metrics(dict(metrics_dict), step)

    def _forget_from(self, step: int) -> None:
        with self.path.open(newline="") as file:
            # A killed run may have left half a row.
            rows = [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]
        temporary = self.path.with_suffix(".csv.tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for row in rows if int(row["step"]) < step)
        temporary.replace(self.path)
