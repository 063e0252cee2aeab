"""A hopeless trial is ended, and says so."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from detection.callbacks.pruning import Pruning


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A study with one good trial, 0.5 and 0.6 after its epochs, and a second one that has begun."""
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="sweep", storage=storage, direction="maximize")
    first = study.ask()
    first.report(0.5, 0)
    first.report(0.6, 1)
    study.tell(first, 0.6)
    study.ask()
    return storage


def trainer(epoch: int, value: float, **changes: Any) -> Any:
    state: dict[str, Any] = {
        "sanity_checking": False,
        "is_global_zero": True,
        "current_epoch": epoch,
        "callback_metrics": {"val/map": torch.tensor(value)},
        "should_stop": False,
        "strategy": SimpleNamespace(broadcast=lambda decision: decision),
    }
    return SimpleNamespace(**{**state, **changes})


def pruning(storage: str, folder: Path) -> Pruning:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0)
    return Pruning("val/map", str(folder), storage, "sweep", trial=1, pruner=pruner)


def test_a_trial_below_the_median_stops(storage: str, tmp_path: Path) -> None:
    callback = pruning(storage, tmp_path)
    good = trainer(0, 0.55)
    callback.on_validation_end(good, None)  # type: ignore[arg-type]
    assert not good.should_stop
    assert not (tmp_path / "pruned.txt").exists()
    bad = trainer(1, 0.25)
    callback.on_validation_end(bad, None)  # type: ignore[arg-type]
    assert bad.should_stop
    assert (tmp_path / "pruned.txt").read_text() == "Stopped after epoch 2: val/map 0.2500\n"
    trial = optuna.load_study(study_name="sweep", storage=storage).trials[1]
    assert trial.intermediate_values == {0: pytest.approx(0.55), 1: 0.25}
    assert trial.state is TrialState.RUNNING, "the sweep, not the run, ends a trial"


def test_the_other_processes_follow_the_first(storage: str, tmp_path: Path) -> None:
    strategy = SimpleNamespace(broadcast=lambda decision: True)
    second = trainer(0, 0.55, is_global_zero=False, strategy=strategy)
    pruning(storage, tmp_path).on_validation_end(second, None)  # type: ignore[arg-type]
    assert second.should_stop
    assert not optuna.load_study(study_name="sweep", storage=storage).trials[1].intermediate_values


def test_the_sanity_check_is_no_validation(storage: str, tmp_path: Path) -> None:
    checking = trainer(0, 0.0, sanity_checking=True)
    pruning(storage, tmp_path).on_validation_end(checking, None)  # type: ignore[arg-type]
    assert not checking.should_stop
    assert not optuna.load_study(study_name="sweep", storage=storage).trials[1].intermediate_values
