"""What a log file shows of a run."""

import math
import re
import sys
import time
from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch

from detection.callbacks import progress
from detection.callbacks.progress import LiveProgress, PlainProgress, _MeanLosses, progress_bar

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


def test_a_line_per_epoch_and_evaluation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=1e6), enable_progress_bar=True, test=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("epoch", "val"))]
    starts = [line.split("  ")[0] for line in lines]
    assert starts == ["epoch 1/2", "val/map 1.0000", "epoch 2/2", "val/map 1.0000"]
    trained = [line for line in lines if line.startswith("epoch")]
    # The weight is 1, 0.8 and 0.64, the loss its square: 1, 0.64 and 0.4096.
    assert re.fullmatch(r"epoch 1/2  step 3/3  mean loss 0\.683 \(cls 0\.342\)  \d+:\d\d left", trained[0])
    # 0.512, 0.4096, 0.32768: of this epoch alone.
    assert re.fullmatch(r"epoch 2/2  step 3/3  mean loss 0\.179 \(cls 0\.090\)  0:00 left", trained[1])


def test_the_live_bar_leaves_the_same_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    bar = LiveProgress()
    run(bar, enable_progress_bar=True, test=False)
    printed = capsys.readouterr().out
    for text in ("epoch 1/2  step 3/3  mean loss 0.683 (cls", "epoch 2/2  step 3/3  mean", "val/map 1.0000"):
        assert text in printed
    assert bar._get_train_description(0).startswith("Epoch 1/2")
    assert bar.get_metrics(bar.trainer, bar.trainer.lightning_module)["mean loss"] == pytest.approx(
        0.179, abs=1e-3
    )


def test_steps_that_were_passed_over_do_not_count() -> None:
    losses = _MeanLosses()
    for value in (1.0, math.nan, 3.0, math.inf):
        losses.add({"train/loss": torch.tensor(value), "val/loss": torch.tensor(9.0)})
    assert str(losses) == "mean loss 2.000"


def test_a_line_every_so_often(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=0), enable_progress_bar=True, epochs=1)
    printed = capsys.readouterr().out
    for step in (1, 2, 3):
        assert f"epoch 1/1  step {step}/3" in printed
        assert f"test  batch {step}/3" in printed


def test_a_step_is_counted_once_for_all_its_parts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=0), enable_progress_bar=True, epochs=1, test=False, accumulate_grad_batches=2)
    steps = re.findall(r"epoch 1/1  step (\d/\d)", capsys.readouterr().out)
    assert steps == ["1/2", "1/2", "2/2"]


def test_the_time_left(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    run(PlainProgress(seconds=0), enable_progress_bar=True, test=False, limit_val_batches=0)
    left = re.findall(r"  (\S+) left", capsys.readouterr().out)
    # A minute per step, six steps.
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
    assert "test  batch 3/3" in printed


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert progress._duration(seconds) == shown
