"""What Weights & Biases shows of a detector: images with boxes to switch on and off, and a table of APs."""

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from detection.callbacks.predictions import FirstImages, Seen
from detection.loggers.wandb import WandbRun
from detection.tasks.base import DetectionTask
from detection.types import Detections, Target


class WandbDetections(FirstImages):
    """Sends the first images of evaluations, with their boxes, and at the end a table of APs by class.

    Args:
        num_images: how many images.
        every_n_epochs: how often, during training; the test of the best checkpoint always sends them.
        threshold: lowest score to send.
    """

    def __init__(self, num_images: int = 8, every_n_epochs: int = 5, threshold: float = 0.1) -> None:
        super().__init__(num_images, every_n_epochs)
        self.threshold = threshold

    def show(self, trainer: pl.Trainer, task: DetectionTask, stage: str, seen: list[Seen]) -> None:
        """Send the images."""
        for logger in _wandb_runs(trainer):
            logger.log_image(
                f"{stage}/predictions",
                [item.image for item in seen],
                step=trainer.global_step,
                caption=[item.target["image_id"] for item in seen],
                boxes=[
                    image_boxes(item.detections, item.target, task.class_names, self.threshold)
                    for item in seen
                ],
            )

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the table."""
        assert isinstance(pl_module, DetectionTask)
        aps = [float(trainer.callback_metrics[f"test/ap/{name}"]) for name in pl_module.class_names]
        # A class without objects has no AP.
        rows = [
            [name, None if math.isnan(ap) else ap]
            for name, ap in zip(pl_module.class_names, aps, strict=True)
        ]
        for logger in _wandb_runs(trainer):
            logger.log_table("test/ap_by_class", ["class", "AP"], rows, step=trainer.global_step)


def image_boxes(
    detections: Detections, target: Target, class_names: Sequence[str], threshold: float
) -> dict[str, Any]:
    """The boxes of one image as ``wandb.Image`` wants them, in fractions of its width and height.

    Args:
        detections: what was found, in the image's original pixels.
        target: what is there, in the image's original pixels.
        class_names: names by label.
        threshold: lowest score to keep.

    Returns:
        Two overlays, ``predictions`` and ``ground_truth``.
    """
    kept = detections["scores"] >= threshold
    found = _box_data(detections["boxes"][kept], detections["labels"][kept], target["size"])
    for box, score in zip(found, detections["scores"][kept].tolist(), strict=True):
        box["scores"] = {"score": score}
        box["box_caption"] = f"{class_names[box['class_id']]} {score:.2f}"
    there = _box_data(target["boxes"], target["labels"], target["size"])
    for box, is_difficult in zip(there, target["difficult"].tolist(), strict=True):
        box["box_caption"] = class_names[box["class_id"]] + " (difficult)" * is_difficult
    class_labels = dict(enumerate(class_names))
    return {
        "predictions": {"box_data": found, "class_labels": class_labels},
        "ground_truth": {"box_data": there, "class_labels": class_labels},
    }


def _box_data(boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
    height, width = size
    fractions = (boxes / boxes.new_tensor([width, height, width, height])).tolist()
    return [
        {"position": dict(zip(("minX", "minY", "maxX", "maxY"), corners, strict=True)), "class_id": label}
        for corners, label in zip(fractions, labels.tolist(), strict=True)
    ]


def _wandb_runs(trainer: pl.Trainer) -> list[WandbRun]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbRun)]
