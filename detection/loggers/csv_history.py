"""A CSV logger for runs that are resumed."""

import csv
import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from detection.system.files import read_history, written_whole


class CSVHistory(CSVLogger):
    """Writes ``metrics.csv`` and keeps what an earlier part of the run wrote there.

    Lightning's own logger deletes the file when a run resumes. Here the rows of steps that are repeated,
    those after the checkpoint, give way to the new ones. Of the step where it resumes, the training may have
    been logged before, and the validation be repeated alone: then the former stays.

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
        self.resumes = self.path.exists()
        if self.resumes:
            rows = read_history(self.path)
            self.metrics_keys = [str(key) for key in rows[0] if key] if rows else []
            if not rows and self.path.stat().st_size:
                aside = self.path.with_name("metrics.broken.csv")
                os.replace(self.path, aside)
                print(f"{self.path} cannot be read: it is {aside.name} now, and the history begins anew.")

    def _check_log_dir_exists(self) -> None:
        """Nothing to check or to delete: the folder is the run's own."""

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        if self.resumes and step is not None:
            rows = read_history(self.path)  # from the first that is repeated on, all are
            self._write([*takewhile(lambda row: not _is_repeated(row, metrics_dict, step), rows)])
            self.resumes = False
        super().log_metrics(dict(metrics_dict), step)

    def save(self) -> None:
        if not self.metrics:
            return
        new_keys = self._record_new_keys()
        rows, self.metrics = self.metrics, []
        if new_keys or not self.path.exists():
            self._write([*read_history(self.path), *rows])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.metrics_keys).writerows(rows)

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with written_whole(self.path) as written, written.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _is_repeated(row: Mapping[str, Any], metrics: Mapping[str, Any], step: int) -> bool:
    """Whether a row that was written before the run resumed is of what is logged now, at a step, or later."""
    if int(row["step"]) != step:
        return int(row["step"]) > step
    return any(row.get(name) for name in metrics if name not in ("epoch", "step"))
