"""Detection as a function of images."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from detection.data.collate import CollateList, CollatePadded
from detection.data.transforms import DetectionTransform
from detection.tasks.base import DetectionTask
from detection.types import Detections, Sample, Target

_NO_BOXES = np.zeros((0, 4), np.float32)
_NO_LABELS = np.zeros(0, np.int64)
_NO_DIFFICULT = np.zeros(0, np.bool_)


class Detector:
    """A trained detector and the way images become its input.

    Args:
        task: a trained task; it is switched to evaluation.
        transform: the evaluation transform that belongs to it.
        collate: ``padded`` or ``list``, as in training.
    """

    def __init__(
        self, task: DetectionTask, transform: DetectionTransform, collate: Literal["padded", "list"]
    ) -> None:
        self.task = task.eval()
        self.transform = transform
        self.collate = CollatePadded() if collate == "padded" else CollateList()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return self.task.class_names

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in a batch of images.

        Args:
            images: each ``(H, W, 3)`` RGB, of any size.

        Returns:
            Detections of each image, in its own pixels, on the CPU.
        """
        batch = self.collate([self.prepare(image) for image in images])
        batch = self.task.transfer_batch_to_device(batch, self.task.device, 0)
        return [_on_cpu(found) for found in self.task.predict_step(batch)]

    def prepare(self, image: NDArray[np.uint8]) -> Sample:
        """Make the network's input of an ``(H, W, 3)`` RGB image."""
        tensor = self.transform(image, _NO_BOXES, _NO_LABELS, _NO_DIFFICULT).image
        target = Target(
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64),
            difficult=torch.zeros(0, dtype=torch.bool),
            image_id="",
            size=(image.shape[0], image.shape[1]),
        )
        return Sample(tensor, target)


def _on_cpu(found: Detections) -> Detections:
    return Detections(boxes=found["boxes"].cpu(), scores=found["scores"].cpu(), labels=found["labels"].cpu())
