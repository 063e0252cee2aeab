"""What a log file shows of a run."""

import csv
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from detection.callbacks import progress
from detection.callbacks.best_checkpoint import BestCheckpoint
from detection.callbacks.learning_rate import LogLearningRate
from detection.callbacks.mean_losses import LossGrowth, MeanLosses
from detection.callbacks.progress import LiveProgress, PlainProgress, progress_bar

Run = Callable[..., pl.Trainer]


def test_a_live_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    plain = progress_bar(3)
    assert isinstance(plain, PlainProgress)
    assert plain.seconds == 3
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_bar(), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_bar(), PlainProgress)


def test_a_line_per_epoch(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=1e6), enable_progress_bar=True, test=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    # The weight is 1, 0.8 and 0.64, the loss its square: 1, 0.64 and 0.4096.
    assert re.fullmatch(
        r"epoch 1/2  loss 0\.683 \(cls 0\.342\)  val mAP 1\.000  val loss 0\.262  \d+:\d\d left", lines[0]
    )
    # 0.512, 0.4096, 0.32768: of this epoch alone.
    assert re.fullmatch(
        r"epoch 2/2  loss 0\.179 \(cls 0\.090\)  val mAP 1\.000  val loss 0\.069  0:00 left", lines[1]
    )


@pytest.mark.parametrize(
    ("monitor", "mode", "told"),
    [
        ("val/map", "max", ["val mAP 1.000 (best)", "val mAP 1.000 (best 1.000 in 1)"]),
        ("val/loss", "min", ["val mAP 1.000 (best)", "val mAP 1.000 (best)"]),
        ("val/loss", "max", ["val mAP 1.000 (best)", "val mAP 1.000 (best val/loss 0.262 in 1)"]),
    ],
)
def test_the_best_so_far(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, monitor: str, mode: str, told: list[str]
) -> None:
    best = BestCheckpoint(tmp_path, "best", monitor=monitor, mode=mode)
    rate = LogLearningRate()
    run(PlainProgress(1e6), best, rate, enable_progress_bar=True, enable_checkpointing=True, test=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    for line, text in zip(lines, told, strict=True):
        assert f"  lr 0.1  {text}  " in line
    assert best.best_metrics is not None
    assert best.best_metrics["val/ap/cat"] == 1


def test_the_best_where_the_checkpoint_is_written_before_the_line(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    best = BestCheckpoint(tmp_path, "best", monitor="val/map", mode="max")
    options = {"enable_progress_bar": True, "enable_checkpointing": True, "check_val_every_n_epoch": 2}
    run(PlainProgress(1e6), best, epochs=4, test=False, **options)
    lines = [line for line in capsys.readouterr().out.splitlines() if "val mAP" in line]
    assert "val mAP 1.000 (best)" in lines[0]
    assert "val mAP 1.000 (best 1.000 in 2)" in lines[1]


def test_an_epoch_without_validation_has_no_figure_of_an_earlier_one(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PlainProgress(1e6), enable_progress_bar=True, epochs=3, test=False, check_val_every_n_epoch=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert ["val mAP" in line for line in lines] == [False, True, False]


def test_a_validation_in_the_middle_of_an_epoch(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(1e6), enable_progress_bar=True, epochs=1, test=False, val_check_interval=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.startswith("epoch 1/1  val mAP") for line in lines] == [True, True, False]


@pytest.mark.parametrize(
    ("columns", "losses", "metrics"),
    [
        (100, "loss 0.683 (cls 0.342)", "val mAP 1.000  val loss 0.262"),
        (70, "loss 0.683 (cls 0.342)", "val mAP 1.000"),
        (50, "loss 0.683", "val mAP 1.000"),
        (20, "loss 0.683", "val mAP 1.000"),
    ],
)
def test_a_narrow_terminal_has_less(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    losses: str,
    metrics: str,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    run(PlainProgress(1e6), enable_progress_bar=True, epochs=1, test=False)
    assert f"epoch 1/1  {losses}  {metrics}  0:00 left\n" in capsys.readouterr().out


def test_the_live_bar_leaves_the_same_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    bar = LiveProgress()
    run(bar, enable_progress_bar=True, test=False)
    printed = capsys.readouterr().out
    for text in ("epoch 1/2  loss 0.683 (cls", "epoch 2/2  loss 0.179"):
        assert text in printed
    assert bar._get_train_description(0).startswith("Epoch ")
    assert bar.get_metrics(bar.trainer, bar.trainer.lightning_module)["loss"] == pytest.approx(
        0.179, abs=1e-3
    )


def test_the_means_of_an_epoch_are_logged_as_they_are_printed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = CSVLogger(str(tmp_path), name="", version="")
    run(PlainProgress(), enable_progress_bar=True, test=False, logger=logger)
    printed = re.findall(r"epoch \d/2  loss ([\d.]+) \(cls ([\d.]+)", capsys.readouterr().out)
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/mean_loss"]]
    logged = [
        tuple(f"{float(row[f'train/mean_{name}']):.3f}" for name in ("loss", "loss_cls")) for row in rows
    ]
    assert logged == printed
    assert [row["epoch"] for row in rows] == ["0", "1"]


@pytest.mark.parametrize(
    ("means", "told"),
    [([14, 6, 4, 11], []), ([14, 6, 4, 13, 40], ["13"]), ([437], ["437"]), ([2, math.nan, 7], ["7"])],
)
def test_a_loss_that_grows_is_told_once(means: list[float], told: list[str]) -> None:
    growth = LossGrowth()
    lines = [line for mean in means if (line := growth.look(mean, 0.01))]
    assert [line.split()[4].rstrip(":") for line in lines] == told
    assert all("optimizer.lr=0.001," in line for line in lines)


def test_steps_that_were_passed_over_do_not_count() -> None:
    losses = MeanLosses()
    for value in (1.0, math.nan, 3.0, math.inf):
        losses.add({"train/loss": torch.tensor(value), "val/loss": torch.tensor(9.0)})
    assert losses.describe(with_parts=True) == "loss 2.000"


def test_a_line_every_so_often(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=0), enable_progress_bar=True, epochs=1)
    printed = capsys.readouterr().out
    for step in (1, 2):
        assert f"epoch 1/1  step {step}/3" in printed
    for batch in (1, 2, 3):
        assert f"epoch 1/1  validation batch {batch}/3" in printed
        assert f"test batch {batch}/3" in printed


def test_a_step_is_counted_once_for_all_its_parts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=0), enable_progress_bar=True, epochs=1, test=False, accumulate_grad_batches=2)
    steps = re.findall(r"epoch 1/1  step (\d/\d)", capsys.readouterr().out)
    assert steps == ["1/2", "1/2"], "and the line of the epoch after the last one"


def test_the_time_left(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class TakesAMinute(pl.Callback):
        def on_train_batch_start(self, *_: object) -> None:
            now[0] += 60

    run(
        PlainProgress(seconds=0),
        TakesAMinute(),
        enable_progress_bar=True,
        test=False,
        limit_val_batches=0,
    )
    left = re.findall(r"  (\S+) left", capsys.readouterr().out)
    assert left == ["5:00", "4:00", "3:00", "2:00", "1:00", "0:00"]


def test_silent_on_other_processes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    bar = PlainProgress(seconds=0)

    class SecondProcess(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            bar.disable()

        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            bar.enable()

    run(bar, SecondProcess(), enable_progress_bar=True, epochs=1)
    printed = capsys.readouterr().out
    assert "epoch" not in printed
    assert "test batch 3/3" in printed


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert progress._duration(seconds) == shown
