"""A run that stops early says what is kept and what to type."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from detection.callbacks.how_to_resume import HowToResume

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


def test_without_one_it_says_that_nothing_was_kept(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        run(HowToResume(str(tmp_path / "last.ckpt")), FailsAt(0))
    assert "Nothing was kept yet" in capsys.readouterr().err


def test_where_only_the_best_was_kept_it_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was full before the last one was written."""
    monkeypatch.setattr(sys, "argv", ["train.py", "model=ssd"])
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(HowToResume(str(tmp_path / "last.ckpt")), FailsAt(1))
    printed = capsys.readouterr().err
    assert f"Kept: {tmp_path}/best.ckpt. To start from its weights:" in printed
    assert f"python train.py model=ssd init_from={tmp_path}/best.ckpt" in printed
