"""A task, as its checkpoint describes it, as a detector."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from detection.data.collate import CollateList, CollatePadded
from detection.data.transforms import DetectionTransform
from detection.prediction.detector import Detector
from detection.tasks.base import DetectionTask
from detection.types import Detections


class TrainedDetector(Detector):
    """A trained task and the way images become its input.

    Args:
        task: a trained task; it is switched to evaluation.
        transform: the evaluation transform that belongs to it.
        collate: ``padded`` or ``list``, as in training.
    """

    def __init__(
        self, task: DetectionTask, transform: DetectionTransform, collate: Literal["padded", "list"]
    ) -> None:
        super().__init__(transform)
        self.task = task.eval()
        self.collate = CollatePadded() if collate == "padded" else CollateList()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return self.task.class_names

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in a batch of images; see `Detector`."""
        batch = self.collate([self.prepare(image) for image in images])
        batch = self.task.transfer_batch_to_device(batch, self.task.device, 0)
        return [_on_cpu(found) for found in self.task.predict_step(batch)]


def _on_cpu(found: Detections) -> Detections:
    return Detections(boxes=found["boxes"].cpu(), scores=found["scores"].cpu(), labels=found["labels"].cpu())
