"""An early end says why."""

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from detection.callbacks.early_stopping import EarlyStopping

Run = Callable[..., pl.Trainer]


class Say(pl.Callback):
    """Puts a figure in place of that of each validation, before it is judged."""

    def __init__(self, *figures: float) -> None:
        self.figures = figures

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figure = self.figures[min(trainer.current_epoch, len(self.figures) - 1)]
        pl_module.log("said", torch.tensor(figure))
        pl_module.log("said_loss", torch.tensor(figure))


def test_patience_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = run(Say(0.5, 0.2), EarlyStopping("said", mode="max", patience=2), epochs=8, test=False)
    assert trainer.current_epoch == 3
    told = "after epoch 3 of 8: said has not got better by more than 0 in 2 validations (its best is 0.5000"
    assert told in capsys.readouterr().out


def test_a_run_to_its_end_needs_no_reason(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(Say(0.1, 0.2), EarlyStopping("said", mode="max", patience=2), epochs=2, test=False)
    assert "early" not in capsys.readouterr().out


@pytest.mark.parametrize("every", [1, 2])
def test_nothing_to_find_ends_nothing(run: Run, capsys: pytest.CaptureFixture[str], every: int) -> None:
    stopping = EarlyStopping("said", mode="max", patience=1)
    trainer = run(Say(float("nan")), stopping, epochs=4, test=False, check_val_every_n_epoch=every)
    assert trainer.current_epoch == 4
    assert "No early end: said is undefined" in capsys.readouterr().out


def test_a_loss_that_is_no_number_ends_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = run(Say(float("nan")), EarlyStopping("said_loss"), epochs=4, test=False)
    assert trainer.current_epoch == 1
    assert "after epoch 1 of 4: said_loss is no finite number" in capsys.readouterr().out


def test_patience_is_that_asked_for_now() -> None:
    before = EarlyStopping("said", patience=2)
    before.wait_count, before.stopping_reason = 2, EarlyStoppingReason.PATIENCE_EXHAUSTED
    now = EarlyStopping("said", patience=7)
    now.load_state_dict(before.state_dict())
    assert (now.patience, now.wait_count) == (7, 2)
    assert now.stopping_reason == EarlyStoppingReason.NOT_STOPPED
