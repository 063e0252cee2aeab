"""A run that stops early says what is kept and what to type."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from detection.callbacks.how_to_resume import HowToResume
from detection.callbacks.safe_checkpoints import SafeCheckpointIO
from detection.system import endings

Run = Callable[..., pl.Trainer]


class FailsAt(pl.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise RuntimeError("out of memory")


def test_with_a_checkpoint_it_names_the_command(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "model=ssd"])
    last = tmp_path / "last.ckpt"
    last.touch()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(HowToResume(str(last)), FailsAt(1))
    printed = capsys.readouterr().err
    assert "Stopped in epoch 2 of 2" in printed
    assert f"python train.py model=ssd ckpt={last}" in printed


class Late(pl.Callback):
    """Lets the time of a Timer pass in an epoch, before or in its last batch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = epoch, batch
        self.timer = Timer("00:01:00:00")

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if (trainer.current_epoch, args[-1]) == self.at:
            self.timer._offset = 2 * 3600


@pytest.mark.parametrize(("at", "said"), [((0, 0), True), ((1, 0), True), ((5, 0), False), ((1, 2), False)])
def test_a_limit_of_time_that_has_passed_names_the_command_without_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    at: tuple[int, int], said: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train.py", "model=ssd", "+trainer.max_time=00:01:00:00"])
    last = tmp_path / "last.ckpt"
    last.touch()
    late = Late(*at)
    run(HowToResume(str(last)), late, late.timer)
    printed = capsys.readouterr().out
    assert ("Ended by trainer.max_time.\nKept:" in printed) == said
    assert (f"\n  python train.py model=ssd ckpt={last}\n" in printed) == said


def test_without_one_it_says_that_nothing_was_kept(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        run(HowToResume(str(tmp_path / "last.ckpt")), FailsAt(0))
    assert "Nothing was kept yet.\n" in capsys.readouterr().err, "no step was given up"


class FailsToWrite(pl.Callback):
    """A checkpoint that was begun before the end could not be written."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        checkpoint_io = SafeCheckpointIO()
        checkpoint_io._error = OSError("the disk is full")
        trainer.strategy.checkpoint_io = checkpoint_io


@pytest.mark.parametrize("signalled", [False, True])
def test_a_full_disk_is_no_step_that_took_too_long(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    signalled: bool,
) -> None:  # fmt: skip
    how = HowToResume(str(tmp_path / "last.ckpt"))
    monkeypatch.setattr(endings._state, "told_by", signal.SIGTERM if signalled else None)
    assert ("did not finish in time" in how.sentence()) == signalled
    with pytest.raises(RuntimeError, match="out of memory"):
        run(how, FailsToWrite(), FailsAt(0))
    printed = capsys.readouterr().err
    assert "Nothing was kept yet.\n" in printed
    assert "in time" not in printed


def test_where_only_the_best_was_kept_it_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was full before the last one was written."""
    monkeypatch.setattr(sys, "argv", ["train.py", "model=ssd"])
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(HowToResume(str(tmp_path / "last.ckpt")), FailsAt(1))
    printed = capsys.readouterr().err
    assert f"Kept: {tmp_path}/best.ckpt.\nTo start from its weights:\n" in printed
    assert f"python train.py model=ssd init_from={tmp_path}/best.ckpt" in printed


@pytest.mark.parametrize("name", ["last", "best"])
def test_one_job_of_a_sweep_is_not_resumed_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "model=ssd", "hydra.mode=RUN", "hydra.job.num=1"])
    (tmp_path / f"{name}.ckpt").touch()
    assert HowToResume(str(tmp_path / "last.ckpt")).sentence() == f"Kept: {tmp_path}/{name}.ckpt."
