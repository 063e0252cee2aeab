"""Looks for a learning rate or a batch size, with Lightning's tuner."""

from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner

from detection.data.datamodule import DetectionDataModule
from detection.tasks.base import DetectionTask

_STEPS = 100
# A higher rate than that of the steepest descent would learn as fast, but stands at the edge.
_RANGE = (1e-6, 1.0)


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
        what: ``lr`` tries a hundred rising learning rates and takes the one where the loss falls fastest;
            ``batch_size`` doubles the images that the device takes at once until memory runs out.
        trainer: without callbacks and loggers.
        task: to train.
        datamodule: to train on.
        folder: where ``lr_finder.png`` goes.
        lr_scale: the rate that is used is ``optimizer.lr`` times this (``optimizer.scale_lr``).

    Returns:
        The setting by the name of its key.

    Raises:
        ValueError: on several devices, or when nothing was found.
    """
    if what not in ("lr", "batch_size"):
        raise ValueError(f"find={what}: it is lr or batch_size.")
    if trainer.world_size > 1:
        raise ValueError(f"find={what} looks on one device: add trainer.devices=1.")
    if what == "batch_size":
        return _find_batch_size(trainer, task, datamodule)
    return _find_learning_rate(trainer, task, datamodule, Path(folder), lr_scale)


def _find_learning_rate(
    trainer: pl.Trainer, task: DetectionTask, datamodule: DetectionDataModule, folder: Path, lr_scale: float
) -> dict[str, float]:
    finder = Tuner(trainer).lr_find(
        task,
        datamodule=datamodule,
        min_lr=_RANGE[0],
        max_lr=_RANGE[1],
        num_training=_STEPS,
        update_attr=False,
    )
    found = finder.suggestion() if finder else None
    if finder is None or found is None:
        raise ValueError("No learning rate was found: the loss did not fall, or there are too few batches.")
    figure = finder.plot(suggest=True)
    if figure is not None:
        figure.savefig(folder / "lr_finder.png", dpi=120)
    asked = found / lr_scale
    print(f"The loss falls fastest at a learning rate of {found:.2g}: optimizer.lr={asked:.2g}")
    print(f"The curve is {folder / 'lr_finder.png'}.")
    return {"optimizer.lr": asked}


def _find_batch_size(
    trainer: pl.Trainer, task: DetectionTask, datamodule: DetectionDataModule
) -> dict[str, float]:
    # Memory knows parts of a step only; so many of them make it as large.
    parts, trainer.accumulate_grad_batches = trainer.accumulate_grad_batches, 1
    found = Tuner(trainer).scale_batch_size(
        task,
        datamodule=datamodule,
        steps_per_trial=3,
        init_val=2,
        max_trials=10,
        batch_arg_name="batch_size_per_device",
    )
    if found is None:
        raise ValueError("No batch size was found.")
    of_parts = f", in {parts} parts" if parts > 1 else ""
    print(f"The largest batch that fits on a device: data.batch_size_per_device={found * parts}{of_parts}")
    return {"data.batch_size_per_device": float(found * parts)}
