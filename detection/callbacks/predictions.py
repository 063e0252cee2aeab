"""Pictures of what the detector sees, next to what is there."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from detection.tasks.base import DetectionTask
from detection.types import Detections, ListBatch, PaddedBatch, Target
from detection.viz import plot_predictions


class PredictionImages(pl.Callback):
    """Draws the first images of an evaluation, true boxes beside predicted ones, into ``predictions.png``.

    Args:
        folder: where to write.
        num_images: how many images.
        every_n_epochs: how often, during training; the test of the best checkpoint always draws.
        threshold: lowest score to draw.
    """

    def __init__(
        self, folder: str, num_images: int = 8, every_n_epochs: int = 5, threshold: float = 0.5
    ) -> None:
        self.path = Path(folder) / "predictions.png"
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self.threshold = threshold
        self.seen: list[tuple[Tensor, Detections, Target]] = []

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Remember the first images."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0 and not trainer.sanity_checking:
            self._remember(pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Remember the first images."""
        self._remember(pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw."""
        self._draw(trainer, pl_module)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw."""
        self._draw(trainer, pl_module)

    def _remember(
        self, task: pl.LightningModule, outputs: dict[str, list[Detections]], batch: PaddedBatch | ListBatch
    ) -> None:
        assert isinstance(task, DetectionTask)
        missing = self.num_images - len(self.seen)
        if missing > 0:
            shown = zip(batch.images, outputs["detections"], task.original_targets(batch), strict=True)
            self.seen += list(shown)[:missing]

    def _draw(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        assert isinstance(task, DetectionTask)
        seen, self.seen = self.seen, []
        if not seen or not trainer.is_global_zero:
            return
        images = []
        for image, _, target in seen:
            height, width = target["size"]
            pixels = image.cpu().numpy().transpose(1, 2, 0)
            restored = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
            images.append(np.asarray(restored, dtype=np.uint8))
        detections = [_on_cpu(found) for _, found, _ in seen]
        targets = [_on_cpu(target) for _, _, target in seen]
        plot_predictions(images, detections, targets, task.class_names, self.path, self.threshold)


def _on_cpu(fields: Any) -> Any:
    return {key: value.cpu() if isinstance(value, Tensor) else value for key, value in fields.items()}
