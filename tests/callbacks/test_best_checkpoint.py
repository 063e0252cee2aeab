"""The best is kept where there is a best."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from detection.callbacks.best_checkpoint import BestCheckpoint
from detection.callbacks.summary import best_checkpoint, final_metrics

Run = Callable[..., pl.Trainer]


class Say(pl.Callback):
    """Logs one figure after another."""

    def __init__(self, *figures: float) -> None:
        self.figures = figures

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("said", torch.tensor(self.figures[trainer.current_epoch]))


def keep(folder: Path, run: Run, *figures: float, mode: str = "max") -> pl.Trainer:
    best = BestCheckpoint(folder, "best", monitor="said", mode=mode, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", every_n_epochs=1, enable_version_counter=False)
    said = Say(*figures)
    return run(
        said, best, last, epochs=len(figures), test=False, enable_checkpointing=True, num_sanity_val_steps=0
    )


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_undefined_figures_none_is_the_best(run: Run, tmp_path: Path, mode: str) -> None:
    trainer = keep(tmp_path, run, math.nan, math.nan, mode=mode)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
    assert best_checkpoint(trainer) == str(tmp_path / "last.ckpt")
    assert math.isnan(final_metrics(trainer)["said"])


@pytest.mark.parametrize(("mode", "epoch"), [("max", 1), ("min", 3)])
def test_figures_that_are_defined_are_compared(run: Run, tmp_path: Path, mode: str, epoch: int) -> None:
    trainer = keep(tmp_path, run, math.nan, 0.5, math.nan, 0.3, mode=mode)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == epoch
    assert best_checkpoint(trainer) == str(tmp_path / "best.ckpt")
    assert final_metrics(trainer)["said"] == pytest.approx({"max": 0.5, "min": 0.3}[mode])


def test_runs_that_began_with_lightnings_own_know_their_best() -> None:
    options = {"monitor": "val/map", "mode": "max"}
    assert BestCheckpoint(**options).state_key == ModelCheckpoint(**options).state_key  # type: ignore[arg-type]


def test_a_run_knows_the_next_best_that_a_kill_has_left_beside_its_last(tmp_path: Path) -> None:
    def written(name: str, step: int, score: float, before: dict[str, float] | None) -> BestCheckpoint:
        best = BestCheckpoint(tmp_path, "best", monitor="val/map")
        path = tmp_path / name
        best.best_model_path, best.best_k_models = str(path), {str(path): torch.tensor(score)}
        best.best_model_score = best.kth_value = torch.tensor(score)
        best.best_epoch, best.best_metrics, best.metrics_before = (
            step,
            {"val/map": score, "val/x": nan},
            before,
        )
        torch.save({"callbacks": {best.state_key: best.state_dict()}}, path)
        return best

    nan = math.nan
    known = written("best.ckpt", 1, 0.3, None).state_dict()
    for before, epoch in (
        ({"val/map": 0.3, "val/x": nan}, 2),
        ({"val/map": 0.2, "val/x": nan}, 1),
        (None, 1),
    ):
        written("best.ckpt", 2, 0.5, before)
        resumed = BestCheckpoint(tmp_path, "best", monitor="val/map")
        resumed.load_state_dict(known)
        assert resumed.best_epoch == epoch
        assert resumed.best_model_score == resumed.kth_value == torch.tensor(0.5 if epoch == 2 else 0.3)
        assert [*resumed.best_k_models.values()] == [resumed.best_model_score]
        assert repr(resumed.metrics_before) == repr(before if epoch == 2 else None)
    (tmp_path / "best.ckpt").write_bytes(b"half")
    resumed.load_state_dict(known)
    assert resumed.best_epoch == 1
