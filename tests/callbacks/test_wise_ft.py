"""What is validated and saved lies between the first weights and the present ones; training is unchanged."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from detection.callbacks.wise_ft import WiseFT
from detection.cli.monitors import check_averages
from tests.callbacks.conftest import TinyTask, loader, quiet_trainer
from tests.callbacks.test_ema import Seen

Fit = Callable[..., pl.Trainer]
ALPHA = 0.25


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Trains a task whose only weight came from elsewhere as 1 and shrinks to 0.8 of itself at each step."""

    def start(
        *callbacks: pl.Callback,
        epochs: int = 2,
        ckpt: Path | None = None,
        known: tuple[str, ...] = ("weight",),
        **options: Any,
    ) -> pl.Trainer:
        trainer = quiet_trainer(tmp_path, callbacks, epochs, **options)
        task = TinyTask()
        task.started_from = frozenset(known)
        trainer.fit(task, loader(), loader(), ckpt_path=ckpt, weights_only=True)
        return trainer

    return start


def between(steps: int) -> float:
    return (1 - ALPHA) * 1 + ALPHA * 0.8**steps


@pytest.mark.parametrize("sanity", [0, 1])
def test_validation_sees_the_middle_and_training_the_weights(fit: Fit, sanity: int) -> None:
    seen = Seen()
    fit(WiseFT(ALPHA), seen, num_sanity_val_steps=sanity)
    assert seen.trained == pytest.approx([0.8**step for step in range(1, 7)])
    assert seen.validated == pytest.approx([1.0] * sanity + [between(3)] * 3 + [between(6)] * 3)
    assert float(seen.saved["state_dict"]["weight"]) == pytest.approx(between(6))
    assert float(seen.saved["current_model_state"]["weight"]) == pytest.approx(0.8**6)


def test_the_end_and_the_test_are_of_the_middle(fit: Fit, tmp_path: Path) -> None:
    seen = Seen()
    trainer = fit(WiseFT(ALPHA), seen)
    task = trainer.lightning_module
    assert float(task.weight.detach()) == pytest.approx(between(6))  # type: ignore[operator]
    torch.save(seen.saved, tmp_path / "kept.ckpt")
    trainer.test(task, loader(), ckpt_path=tmp_path / "kept.ckpt", verbose=False, weights_only=True)
    assert float(task.weight.detach()) == pytest.approx(between(6))  # type: ignore[operator]


def test_a_resumed_run_knows_where_the_first_one_started(fit: Fit, tmp_path: Path) -> None:
    seen = Seen()
    fit(WiseFT(ALPHA), seen, epochs=1, num_sanity_val_steps=0)
    torch.save(seen.saved, tmp_path / "kept.ckpt")
    later = Seen()
    fit(WiseFT(ALPHA), later, ckpt=tmp_path / "kept.ckpt", known=(), num_sanity_val_steps=0)
    assert later.trained == pytest.approx([0.8**step for step in range(4, 7)])
    assert later.validated == pytest.approx([between(6)] * 3)
    assert float(later.saved["state_dict"]["weight"]) == pytest.approx(between(6))
    assert torch.equal(later.saved["wise_ft_start"]["weight"], torch.ones(()))


def test_a_run_goes_on_without_it_from_the_weights_that_were_trained(fit: Fit, tmp_path: Path) -> None:
    seen, later = Seen(), Seen()
    fit(WiseFT(ALPHA), seen, epochs=1)
    torch.save(seen.saved, tmp_path / "kept.ckpt")
    fit(later, ckpt=tmp_path / "kept.ckpt", num_sanity_val_steps=0)
    assert later.trained == pytest.approx([0.8**step for step in range(4, 7)])


@pytest.mark.parametrize(
    ("callbacks", "starts", "message"),
    [
        (["wise_ft.WiseFT"], False, "give init_from, or leave it out"),
        (["wise_ft.WiseFT", "ema.EMA"], True, "choose one"),
        (["wise_ft.WiseFT"], True, None),
        (["ema.EMA"], False, None),
    ],
)
def test_averages_that_cannot_be_made_are_refused(
    callbacks: list[str], starts: bool, message: str | None
) -> None:
    config = {name: {"_target_": f"detection.callbacks.{name}"} for name in callbacks}
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        check_averages(config, starts)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, 2.0])
def test_a_share_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"callbacks\.wise_ft\.alpha=.* between 0 and 1"):
        WiseFT(alpha)
