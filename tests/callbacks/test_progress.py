"""What a log file shows of a run."""

import re
import sys
import time
from collections.abc import Callable

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from detection.callbacks import progress
from detection.callbacks.progress import PlainProgress, progress_bar

Run = Callable[..., pl.Trainer]


def test_a_live_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    plain = progress_bar(3)
    assert isinstance(plain, PlainProgress)
    assert plain.seconds == 3
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert isinstance(progress_bar(), RichProgressBar)


def test_a_line_per_epoch_and_evaluation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainProgress(seconds=1e6), enable_progress_bar=True, test=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("epoch", "val"))]
    starts = [line.split("  ")[0] for line in lines]
    assert starts == ["epoch 1/2", "val/map 1.0000", "epoch 2/2", "val/map 1.0000"]
    trained = [line for line in lines if line.startswith("epoch")]
    assert re.fullmatch(
        r"epoch 1/2  step 3/3  loss \d\.\d{3}  loss_cls \d\.\d{3}  about \d+:\d\d left", trained[0]
    )
    assert trained[1].endswith("about 0:00 left")


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
    left = re.findall(r"about (\S+) left", capsys.readouterr().out)
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
