"""Pictures of what the detector sees, next to what is there."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch import Tensor

from detection.drawing.photos import plot_predictions
from detection.metrics.outcomes import outcomes_of_image
from detection.tasks.base import DetectionTask
from detection.types import Detections, ListBatch, PaddedBatch, Target


class Seen(NamedTuple):
    """An image and what is known about it, on the CPU."""

    image: NDArray[np.uint8]
    """``(H, W, 3)`` RGB, at the original size, which the boxes refer to."""
    detections: Detections
    target: Target


class FirstImages(pl.Callback, ABC):
    """Collects the first images of an evaluation; subclasses show them.

    Args:
        num_images: how many images.
        every_n_epochs: how often, during training; the test of the best checkpoint always shows them.
    """

    def __init__(self, num_images: int, every_n_epochs: int) -> None:
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self._seen: list[Seen] = []

    @abstractmethod
    def show(self, trainer: pl.Trainer, task: DetectionTask, stage: str, seen: list[Seen]) -> None:
        """Show the images; called on the first process only.

        Args:
            trainer: the trainer.
            task: the task.
            stage: ``val`` or ``test``.
            seen: one or more images.
        """

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Remember the first images."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0 and not trainer.sanity_checking:
            self._remember(trainer, pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Remember the first images."""
        self._remember(trainer, pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the images and show them."""
        self._show(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the images and show them."""
        self._show(trainer, pl_module, "test")

    def _remember(
        self,
        trainer: pl.Trainer,
        task: pl.LightningModule,
        outputs: dict[str, list[Detections]],
        batch: PaddedBatch | ListBatch,
    ) -> None:
        assert isinstance(task, DetectionTask)
        missing = self.num_images - len(self._seen)
        if missing > 0 and trainer.is_global_zero:
            known = zip(batch.images, outputs["detections"], task.original_targets(batch), strict=True)
            self._seen += [
                Seen(_restored(image, target["size"]), _on_cpu(found), _on_cpu(target))
                for image, found, target in list(known)[:missing]
            ]

    def _show(self, trainer: pl.Trainer, task: pl.LightningModule, stage: str) -> None:
        assert isinstance(task, DetectionTask)
        seen, self._seen = self._seen, []
        if seen:
            self.show(trainer, task, stage, seen)


class PredictionImages(FirstImages):
    """Draws the first images of an evaluation into ``predictions.png``: what was found and what was missed.

    Args:
        folder: where to write.
        num_images: how many images.
        every_n_epochs: how often, during training; the test of the best checkpoint always draws.
        threshold: lowest score to draw.
    """

    def __init__(
        self, folder: str, num_images: int = 8, every_n_epochs: int = 5, threshold: float = 0.5
    ) -> None:
        super().__init__(num_images, every_n_epochs)
        self.path = Path(folder) / "predictions.png"
        self.threshold = threshold

    def show(self, trainer: pl.Trainer, task: DetectionTask, stage: str, seen: list[Seen]) -> None:
        """Write `predictions.png`."""
        outcomes = [outcomes_of_image(item.detections, item.target, self.threshold) for item in seen]
        images, ids = [item.image for item in seen], [item.target["image_id"] for item in seen]
        plot_predictions(images, outcomes, ids, task.class_names, self.path, self.threshold)


def _restored(image: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    pixels = image.cpu().numpy().transpose(1, 2, 0)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _on_cpu(fields: Any) -> Any:
    return {key: value.cpu() if isinstance(value, Tensor) else value for key, value in fields.items()}
