"""A loss that is not finite: the run stops with the step, the images and the learning rate, or skips it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from detection.callbacks.bad_loss import BadLoss, BadLossError, image_ids
from detection.types import ListBatch, PaddedBatch, Target
from tests.callbacks.conftest import TinyTask, batch_of, loader
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]


class BadAt(TinyTask):
    """The loss is bad for some images."""

    def __init__(self, value: float, *images: str) -> None:
        super().__init__()
        self.value, self.images = value, set(images)
        self.weights: list[float] = []

    def training_step(self, batch: PaddedBatch, batch_idx: int) -> Tensor:
        self.weights.append(self.weight.item())
        loss = super().training_step(batch, batch_idx)
        return loss * self.value if self.images & set(batch.image_ids) else loss


def trainer(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 2, "enable_checkpointing": False, **options},
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("every", [1, 2, 100])
def test_a_bad_loss_stops_the_run_and_says_where(tmp_path: Path, value: float, every: int) -> None:
    task = BadAt(value, "image3")
    with pytest.raises(BadLossError) as error:
        trainer(tmp_path, BadLoss(every_n_steps=every)).fit(task, loader(), loader())
    message = str(error.value)
    assert "at step 1 (counted from 0; epoch 1, learning rate 0.1), images image2, image3." in message
    assert "optimizer.lr" in message
    assert len(task.weights) == min(3, 2 if every <= 2 else 3), (
        "it stops at the end of the epoch at the latest"
    )


def test_no_checkpoint_holds_spoilt_weights(tmp_path: Path) -> None:
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path, filename="last", save_on_train_epoch_end=True)
    run = trainer(tmp_path, checkpoint, BadLoss(every_n_steps=100), enable_checkpointing=True)
    with pytest.raises(BadLossError, match="image4"):
        run.fit(BadAt(float("nan"), "image4"), loader(), loader())
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.filterwarnings("ignore:Encountered `nan`")
@pytest.mark.parametrize("on_bad_loss", ["raise", "skip"])
def test_weights_that_the_last_step_spoilt_are_not_kept(tmp_path: Path, on_bad_loss: Any) -> None:
    """The loss of training was finite at each step; that of validation tells."""

    class SpoiltAtLast(TinyTask):
        def on_train_batch_end(self, *_: Any) -> None:
            if self.trainer.current_epoch == 1:
                self.weight.data.fill_(float("inf"))

        def training_step(self, batch: PaddedBatch, batch_idx: int) -> Tensor:
            return super().training_step(batch, batch_idx).nan_to_num(0, 0, 0)

        def evaluate_batch(self, batch: PaddedBatch) -> Any:
            *found, _, weight = super().evaluate_batch(batch)
            return *found, {"loss": self.weight - self.weight}, weight

    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path, filename="best", monitor="val/map", save_top_k=-1)
    run = trainer(tmp_path, checkpoint, BadLoss(on_bad_loss), enable_checkpointing=True)
    with pytest.raises(BadLossError, match=r"^val/loss is not a finite number after 6 steps \(epoch 2, "):
        run.fit(SpoiltAtLast(), loader(), loader())
    assert len(list(tmp_path.glob("*.ckpt"))) == 1  # of the first epoch


def test_a_skipped_step_leaves_weights_and_momentum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def momentum(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)

    skipping, short = BadAt(float("nan"), "image2"), TinyTask()
    for task in (skipping, short):
        task.make_optimizer = momentum
    callback = BadLoss("skip")
    trainer(tmp_path, callback, max_epochs=1).fit(skipping, loader(), loader())
    numbers: DataLoader[int] = DataLoader([0, 1, 4], batch_size=2, collate_fn=batch_of)  # type: ignore[arg-type]
    trainer(tmp_path, max_epochs=1).fit(short, numbers, loader())
    assert skipping.weight.item() == short.weight.item() != 1
    assert skipping.weights[1] == skipping.weights[2]
    assert callback.num_skipped == 1
    told = capsys.readouterr().out
    assert "Steps skipped for a loss that was not finite: 1" in told
    assert "step 1 (counted from 0; epoch 1, learning rate 0.1), images image2, image3" in told


def test_a_gradient_scaler_skips_by_itself_and_the_step_is_counted(tmp_path: Path) -> None:
    half = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    task, callback = BadAt(float("inf"), "image2"), BadLoss("skip")
    trainer(tmp_path, callback, max_epochs=1, plugins=half).fit(task, loader(), loader())
    assert callback.num_skipped == 1
    assert task.weights[0] > task.weights[1] == task.weights[2] > task.weight.item()
    assert half.scaler is not None
    assert half.scaler.get_scale() == 2**15, "the scaler has seen it, too"


def test_what_was_accumulated_is_dropped_too(tmp_path: Path) -> None:
    task = BadAt(float("inf"), "image3")
    run = trainer(tmp_path, BadLoss("skip"), max_epochs=1, accumulate_grad_batches=2)
    run.fit(task, loader(), loader())
    assert torch.isfinite(task.weight)
    assert task.weights[2] == 1, "the step of both batches did nothing"
    assert task.weight.item() < 1, "the next one did"


def test_a_loss_that_stays_bad_stops_the_run(tmp_path: Path) -> None:
    task = BadAt(float("nan"), *(f"image{number}" for number in range(5)))
    with pytest.raises(BadLossError, match="in 20 steps in a row, the last of them: step 19"):
        trainer(tmp_path, BadLoss("skip"), max_epochs=9).fit(task, loader(), loader())
    assert task.weight.item() == 1


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    callback = BadLoss("skip")
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path, filename="last", save_on_train_epoch_end=True)
    run = trainer(tmp_path, callback, checkpoint, max_epochs=1, enable_checkpointing=True)
    run.fit(BadAt(float("nan"), "image0"), loader(), loader())
    resumed = BadLoss("skip")
    again = trainer(tmp_path, resumed, max_epochs=2)
    again.fit(
        BadAt(float("nan"), "image0"), loader(), loader(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert resumed.num_skipped == 2


class TellWeights(pl.Callback):
    """Writes the final weight of each process to a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TinyTask)
        (self.folder / str(trainer.global_rank)).write_text(f"{pl_module.weight.item()}")


def test_two_processes_agree(tmp_path: Path) -> None:
    """The first process gets the images 0, 2, 4, the second one 1, 3, 0; only the second sees a bad one."""
    # In a process of its own: where an earlier test has used autograd's threads, none can be forked.
    words = (*warm_python(), "-m", "tests.callbacks.test_bad_loss", str(tmp_path))
    # Lightning shuffles by the seed that an earlier test has left.
    env = {name: value for name, value in os.environ.items() if name != "PL_GLOBAL_SEED"}
    done = subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=120)
    assert re.search(r"at step 1 \(counted from 0; epoch 1, .* images image3\.", done.stdout), done.stdout
    first, second = (float((tmp_path / name).read_text()) for name in "01")
    assert first == second == pytest.approx(0.64)  # two steps of -0.1 * 2w


def train_on_two_processes(folder: Path) -> None:
    two = {"strategy": "ddp_fork", "devices": 2, "max_epochs": 1}
    try:
        trainer(folder, BadLoss(every_n_steps=2), **two).fit(
            BadAt(float("nan"), "image3"), single(), loader()
        )
    except Exception as error:  # of the other process, in words
        print(error)
    trainer(folder, BadLoss("skip"), TellWeights(folder), **two).fit(
        BadAt(float("nan"), "image3"), single(), loader()
    )


def single() -> "DataLoader[int]":
    return DataLoader(range(5), batch_size=1, collate_fn=batch_of)  # type: ignore[arg-type]


def test_finite_losses_pass(tmp_path: Path) -> None:
    callback = BadLoss(every_n_steps=1)
    trainer(tmp_path, callback).fit(TinyTask(), loader(), loader())
    assert callback.num_skipped == 0


def test_the_names_of_the_images_of_a_list() -> None:
    target = Target(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0), difficult=torch.zeros(0), image_id="a", size=(1, 1)
    )
    assert image_ids(ListBatch([torch.zeros(3, 1, 1)], [target])) == ["a"]


if __name__ == "__main__":
    train_on_two_processes(Path(sys.argv[1]))
