"""The moving average is what is validated and saved; training goes on with the weights."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from detection.callbacks.ema import EMA
from tests.callbacks.conftest import loader

Run = Callable[..., pl.Trainer]
DECAY = 0.3


class Seen(pl.Callback):
    """The weight during each validation and after each training step, and what a checkpoint holds."""

    def __init__(self) -> None:
        self.validated: list[float] = []
        self.trained: list[float] = []
        self.saved: dict[str, Any] = {}

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.validated.append(float(pl_module.weight.detach()))  # type: ignore[operator]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.trained.append(float(pl_module.weight.detach()))  # type: ignore[operator]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The dump refers to the weights themselves, which change again.
        self.saved = copy.deepcopy(trainer._checkpoint_connector.dump_checkpoint())


def expected_average(steps: int) -> float:
    """A weight that shrinks to 0.8 of itself at each step, averaged by hand."""
    average = 0.8
    for update in range(1, steps):
        kept = min(DECAY, (1 + update) / (10 + update))
        average = kept * average + (1 - kept) * 0.8 ** (update + 1)
    return average


def test_training_goes_on_with_the_weights_and_validation_sees_their_average(run: Run) -> None:
    seen = Seen()
    run(EMA(DECAY), seen, num_sanity_val_steps=0, test=False)
    assert seen.trained == pytest.approx([0.8**step for step in range(1, 7)])
    assert seen.validated[:3] == pytest.approx([expected_average(3)] * 3)
    assert seen.validated[3:] == pytest.approx([expected_average(6)] * 3)
    assert min(DECAY, 2 / 11) < DECAY <= 6 / 15, "both the early and the final decay were used"


def test_a_checkpoint_holds_the_average_as_the_networks_weights(run: Run) -> None:
    seen = Seen()
    run(EMA(DECAY), seen, num_sanity_val_steps=0, test=False)
    assert float(seen.saved["state_dict"]["weight"]) == pytest.approx(expected_average(6))
    assert float(seen.saved["current_model_state"]["weight"]) == pytest.approx(0.8**6)


def test_the_test_of_a_checkpoint_is_of_the_average(run: Run, tmp_path: Path) -> None:
    seen = Seen()
    trainer = run(EMA(DECAY), seen, num_sanity_val_steps=0, test=False)
    torch.save(seen.saved, tmp_path / "kept.ckpt")
    task = trainer.lightning_module
    trainer.test(task, loader(), ckpt_path=tmp_path / "kept.ckpt", verbose=False, weights_only=True)
    assert float(task.weight.detach()) == pytest.approx(expected_average(6))  # type: ignore[operator]
    assert float(trainer.callback_metrics["test/loss"]) == pytest.approx(expected_average(6) ** 2)


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0, 2.0])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"callbacks\.ema\.decay=.* between 0 and 1"):
        EMA(decay)
