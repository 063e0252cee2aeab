"""When the best epoch of a resumed run is chosen anew."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from detection.checkpoints.measured import chosen_anew
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
SMALL = (
    *("experiment=quickstart", "trainer=cpu", "data.image_size=64", "data.size=64", "data.batch_size=4"),
    *("data.num_train=4", "data.num_test=2", "data.num_workers=0", "trainer.check_val_every_n_epoch=1"),
)
MODEL = {"score_threshold": 0.01, "nms_threshold": 0.45, "interpolation": "07", "class_weights": None}
DATA = {"size": [300, 400], "eval_transform": {"_target_": "a.b"}, "collate": "list"}
TRAINING = {"val_images": 5, "train_images": 9, "val_set": "0123456789abcdef", "limit_val_batches": None}
LOOPS = {
    "epoch_progress": {"current": {"started": 2, "processed": 2, "completed": 1}},
    "epoch_loop.batch_progress": {"is_last_batch": True},
}


def told(before: Any, trainer: Any = None, **now: Any) -> str:
    checkpoint = {
        "hyper_parameters": {"model": MODEL, "data": DATA, "training": TRAINING, **before},
        "loops": {"fit_loop": LOOPS},
        "global_step": 8,
    }
    sides: dict[str, Any] = {"model": MODEL, "data": DATA, "training": TRAINING, **now}
    return chosen_anew(checkpoint, trainer or {"max_epochs": 3}, **sides)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({}, ""),
        ({"training": TRAINING | {"train_images": 90}}, ""),
        ({"model": MODEL | {"class_weights": {"cat": 2.0}, "optimizer": {"lr": 1}}}, ""),
        ({"training": TRAINING | {"val_set": "f" * 16}}, "the validation images are others"),
        ({"data": DATA | {"size": [300, 500]}}, "data.size is another"),
        ({"training": TRAINING | {"limit_val_batches": 2}}, "trainer.limit_val_batches is another"),
        (
            {"training": TRAINING | {"val_set": "f" * 16}, "model": MODEL | {"nms_threshold": 0.5}},
            "the validation images are others and model.nms_threshold is another",
        ),
    ],
)
def test_what_validation_measures_decides(now: dict[str, Any], why: str) -> None:
    assert told({}, **now) == (f"The best epoch is chosen anew, since {why}." if why else "")


def test_what_a_checkpoint_does_not_say_is_no_change() -> None:
    assert told({"training": {}}, data=DATA | {"size": [1, 1]}) == ""
    older = {"val_images": 5}
    assert told({"training": older}, training=TRAINING | {"limit_val_batches": 2}) == ""
    assert "images" in told({"training": older}, training=TRAINING | {"val_images": 6})


@pytest.mark.parametrize("trainer", [{"max_epochs": 2}, {"max_steps": 8, "max_epochs": -1}])
def test_where_nothing_is_left_to_train_the_best_stays(trainer: dict[str, int]) -> None:
    assert told({}, trainer, data=DATA | {"size": [1, 1]}) == ""


def train(*words: str) -> str:
    ended = subprocess.run(
        [*warm_python(), "train.py", *SMALL, *words],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.slow
def test_the_best_of_another_set_does_not_stay(tmp_path: Path) -> None:
    run, (one, other) = tmp_path / "run", (f"data.root={tmp_path / name}" for name in "ab")
    train(f"run_dir={run}", one, "data.num_val=2", "trainer.max_epochs=1")
    for path in (run / "checkpoints").iterdir():  # what no epoch reaches
        checkpoint = torch.load(path, weights_only=True)
        for state in checkpoint["callbacks"].values():
            if state.get("best_metrics"):
                high = torch.tensor(0.97)
                state |= {"best_model_score": high, "kth_value": high, "best_k_models": {str(path): high}}
                state["best_k_models"] = {str(run / "checkpoints/best.ckpt"): high}
        torch.save(checkpoint, path)
    printed = train(f"ckpt={run}", one, "data.num_val=2", "trainer.max_epochs=2")
    assert "chosen anew" not in printed
    assert "(best 0.970 in 1)" in printed
    printed = train(f"ckpt={run}", other, "data.num_val=4", "trainer.max_epochs=3")
    assert "The best epoch is chosen anew, since the validation images are others." in printed
    assert "val_set" not in printed
    assert "data.num_val: 2 -> 4; " in printed
    assert "0.970" not in printed
    assert torch.load(run / "checkpoints/best.ckpt", weights_only=True)["epoch"] == 2
