"""The history of a run is one file, however often the run was stopped."""

import csv
from pathlib import Path

import pytest
from torch import Tensor

from detection.loggers.csv_history import CSVHistory


def write(folder: Path, *rows: tuple[int, dict[str, Tensor | float]]) -> None:
    logger = CSVHistory(str(folder))
    for step, figures in rows:
        logger.log_metrics(figures, step)
    logger.save()


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_goes_on_keeps_what_came_before(tmp_path: Path) -> None:
    write(tmp_path, (0, {"loss": 3.0}), (1, {"loss": 2.0}))
    write(tmp_path, (2, {"loss": 1.0}))
    assert [row["loss"] for row in read(tmp_path)] == ["3.0", "2.0", "1.0"]


def test_repeated_steps_replace_those_after_the_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, (0, {"loss": 3.0}), (1, {"loss": 2.0}), (2, {"loss": 9.0}), (3, {"loss": 9.0}))
    write(tmp_path, (2, {"loss": 1.0}), (3, {"loss": 0.5}))
    assert [(row["step"], row["loss"]) for row in read(tmp_path)] == [
        ("0", "3.0"),
        ("1", "2.0"),
        ("2", "1.0"),
        ("3", "0.5"),
    ]


def test_of_the_step_where_it_resumes_what_is_not_repeated_stays(tmp_path: Path) -> None:
    write(tmp_path, (0, {"loss": 3.0}), (1, {"loss": 2.0}), (1, {"map": 0.7, "epoch": 0}), (2, {"loss": 9.0}))
    write(tmp_path, (1, {"map": 0.5, "epoch": 0}), (2, {"loss": 1.0}))
    rows = [(row["step"], row["loss"], row["map"]) for row in read(tmp_path)]
    assert rows == [("0", "3.0", ""), ("1", "2.0", ""), ("1", "", "0.5"), ("2", "1.0", "")]
    write(tmp_path, (1, {"loss": 2.0}))
    assert [(row["step"], row["loss"]) for row in read(tmp_path)] == [("0", "3.0"), ("1", "2.0")]


def test_new_figures_get_a_column(tmp_path: Path) -> None:
    write(tmp_path, (0, {"loss": 3.0}))
    write(tmp_path, (1, {"map": 0.5}))
    assert [(row["loss"], row["map"]) for row in read(tmp_path)] == [("3.0", ""), ("", "0.5")]


def test_half_a_row_of_a_killed_run_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, (0, {"a": 1.0, "loss": 3.0}), (1, {"a": 1.0, "loss": 2.0}))
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text()[:-6])
    write(tmp_path, (5, {"a": 2.0, "loss": 1.0}))
    assert [row["step"] for row in read(tmp_path)] == ["0", "5"]


def test_what_cannot_be_read_is_kept_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"\xff\0" * 999)
    write(tmp_path, (5, {"loss": 1.0}))
    assert [row["step"] for row in read(tmp_path)] == ["5"]
    assert (tmp_path / "metrics.broken.csv").stat().st_size == 1998
    assert "metrics.csv cannot be read: it is metrics.broken.csv now" in capsys.readouterr().out


def test_nothing_else_in_the_folder_is_touched(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1")
    write(tmp_path, (0, {"loss": 3.0}))
    assert (tmp_path / "config.yaml").read_text() == "a: 1"
