"""A training of a tiny SSD on whatever a data module reads."""

from typing import Any

import pytorch_lightning as pl

from detection.data.datamodule import DetectionDataModule
from detection.models.backbones import TinyBackbone
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from tests.tasks.test_ssd_task import make_network, make_optimizer


def train_tiny(data: DetectionDataModule, **length: int) -> tuple[pl.Trainer, SSDTask]:
    """Train for so many epochs or steps.

    Args:
        data: of images of 128 pixels.
        length: ``max_epochs`` or ``max_steps``.
    """
    data.setup()
    task = SSDTask(TinyBackbone(), make_network, data.class_names, make_optimizer, Cosine())  # type: ignore[arg-type]
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(accelerator="cpu", enable_checkpointing=False, **{**length, **quiet})
    trainer.fit(task, datamodule=data)
    return trainer, task
