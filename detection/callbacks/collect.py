"""Keeps what a test found, for a report."""

from typing import Any

import pytorch_lightning as pl
import torch

from detection.metrics.tables import areas_of
from detection.tasks.base import DetectionTask
from detection.tasks.whole_images import WholeImages
from detection.types import Detections, Target


class CollectDetections(pl.Callback):
    """Keeps the detections and the objects of every tested image, in order, on the CPU; for one process."""

    def __init__(self) -> None:
        self.detections: list[Detections] = []
        """Of each image, in its original pixels."""
        self.targets: list[Target] = []
        """Of each image, in its original pixels."""

    @torch.no_grad()
    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Keep one batch."""
        assert isinstance(pl_module, DetectionTask | WholeImages)
        for found in outputs["detections"]:
            self.detections.append(
                Detections(
                    boxes=found["boxes"].float().cpu(),
                    scores=found["scores"].float().cpu(),
                    labels=found["labels"].cpu(),
                )
            )
        for target in pl_module.original_targets(batch):
            self.targets.append(
                Target(
                    boxes=target["boxes"].cpu(),
                    labels=target["labels"].cpu(),
                    difficult=target["difficult"].cpu(),
                    image_id=target["image_id"],
                    size=target["size"],
                    areas=areas_of(target).cpu(),
                )
            )
