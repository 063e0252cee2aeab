"""Looks for a learning rate or a batch size."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner
from rich.progress import Progress

from detection.data.datamodule import DetectionDataModule
from detection.drawing.plots import plot_learning_rates
from detection.system.wording import counted
from detection.tasks.base import DetectionTask

_RATES = np.geomspace(1e-6, 1, 100)
_SMOOTHED_OVER = 9  # steps, half a power of ten: a single step's loss is mostly chance
_BELOW_BEST = 3  # the loss is least just before the edge; a tenth learned slower in our short trials
_MOST_DOUBLINGS = 10
_LEAST_FALL = 0.05  # of the loss, below which it has not fallen

TRAINER: Final[dict[str, Any]] = {
    "callbacks": [],
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "max_epochs": -1,  # a small set is gone through as often as it takes
    "max_steps": len(_RATES),
    "limit_val_batches": 0,
    "num_sanity_val_steps": 0,
}
"""The arguments of the trainer that looks, whatever those of a training are."""


def find(
    what: Literal["lr", "batch_size"],
    trainer: pl.Trainer,
    task: DetectionTask,
    datamodule: DetectionDataModule,
    folder: str,
    lr_scale: float = 1.0,
) -> dict[str, float]:
    """Find a setting, print it, and the override that uses it.

    Args:
        what: ``lr`` takes a hundred steps at rising learning rates, and a third of the one that leads to the
            least loss; ``batch_size`` doubles the images that the device takes at once until memory runs out.
        trainer: made with ``TRAINER``.
        task: to train.
        datamodule: to train on.
        folder: where ``lr_finder.png`` goes.
        lr_scale: the rate that is used is ``optimizer.lr`` times this (``optimizer.scale_lr``).

    Returns:
        The setting by the name of its key.

    Raises:
        ValueError: on several devices, on a CPU for ``batch_size``, or when nothing was found.
    """
    if what not in ("lr", "batch_size"):
        raise ValueError(f"find={what}: it is lr or batch_size.")
    if trainer.world_size > 1:
        raise ValueError(f"find={what} looks on one device: add trainer.devices=1.")
    if what == "batch_size":
        if trainer.strategy.root_device.type == "cpu":
            raise ValueError(
                "find=batch_size fills the memory of a GPU; a CPU's is the whole machine's, where what takes "
                "too much is killed without a word: choose data.batch_size yourself."
            )
        return find_batch_size(trainer, task, datamodule)
    return _find_learning_rate(trainer, task, datamodule, Path(folder), lr_scale)


def _find_learning_rate(
    trainer: pl.Trainer, task: DetectionTask, datamodule: DetectionDataModule, folder: Path, lr_scale: float
) -> dict[str, float]:
    with Progress() as progress:
        rising = _RisingRates(progress)
        trainer.callbacks.append(rising)  # type: ignore[attr-defined]
        trainer.fit(task, datamodule=datamodule)
    found, picture = best_rate(rising.losses), folder / "lr_finder.png"
    plot_learning_rates(_RATES[: len(rising.losses)], rising.losses, _SMOOTHED_OVER, found, picture)
    if found is None:
        raise ValueError(f"No learning rate was found: the loss does not fall, as {picture} shows.")
    asked = found / lr_scale
    print(f"A third of the learning rate with the least loss is {found:.2g}: optimizer.lr={asked:.2g}")
    print(f"The curve is {picture}.")
    return {"optimizer.lr": asked}


class _RisingRates(pl.Callback):
    """Takes each step at a higher learning rate than the one before, and keeps its loss."""

    def __init__(self, progress: Progress) -> None:
        self.losses: list[float] = []
        self._progress = progress
        self._bar = progress.add_task(f"Trying {len(_RATES)} learning rates", total=len(_RATES))

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            # Over what the schedule says; groups keep their share of the first one's rate.
            share = group["initial_lr"] / trainer.optimizers[0].param_groups[0]["initial_lr"]
            group["lr"] = float(_RATES[trainer.global_step]) * share

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == len(self.losses):  # in the middle of a step in parts
            return
        loss = float(trainer.callback_metrics["train/loss"])
        if not math.isfinite(loss) or loss > 10 * min(self.losses, default=loss):
            trainer.should_stop = True
            self._progress.update(self._bar, completed=len(_RATES))
            return
        self.losses.append(loss)
        self._progress.advance(self._bar)


def best_rate(losses: Sequence[float]) -> float | None:
    """A third of the rate with the least loss, as the mean over neighbouring steps.

    Args:
        losses: of a step at each of the rates, from 1e-6 to 1, as far as they are finite.

    Returns:
        The rate; None where the loss does not fall, or there are too few steps to tell.
    """
    if len(losses) < 2 * _SMOOTHED_OVER:
        return None
    means = np.convolve(losses, np.full(_SMOOTHED_OVER, 1 / _SMOOTHED_OVER), "valid")
    least = int(means.argmin())
    if means[least] > (1 - _LEAST_FALL) * means[0]:
        return None
    return float(_RATES[least + _SMOOTHED_OVER // 2]) / _BELOW_BEST


def find_batch_size(
    trainer: pl.Trainer, task: DetectionTask, datamodule: DetectionDataModule
) -> dict[str, float]:
    """Find the largest power of two of images that a device trains with at once, and print it.

    Args:
        trainer: made with ``TRAINER``.
        task: to train.
        datamodule: to train on; no batch is larger than its training set.

    Returns:
        The setting by the name of its key.
    """
    # Memory knows parts of a step only; so many of them make it as large.
    parts, trainer.accumulate_grad_batches = trainer.accumulate_grad_batches, 1
    images = len(datamodule.datasets["train"])
    if images < 2:
        raise ValueError("find=batch_size begins with two images, and the training set has one.")
    doublings = min(images.bit_length() - 1, _MOST_DOUBLINGS)
    datamodule.batch_size_per_device = 2  # which goes before data.batch_size
    found = Tuner(trainer).scale_batch_size(
        task,
        datamodule=datamodule,
        steps_per_trial=3,
        init_val=2,
        max_trials=doublings,
        batch_arg_name="batch_size_per_device",
    )
    assert found is not None
    of_parts = f", in {parts} parts" if parts > 1 else ""
    print(f"The largest batch that fits on a device: data.batch_size_per_device={found * parts}{of_parts}")
    if found == 2**doublings:
        most = f"the training set has {counted(images, 'image')}, and {2**_MOST_DOUBLINGS} is the most"
        print(f"Nothing larger was tried: {most}.")
    return {"data.batch_size_per_device": float(found * parts)}
