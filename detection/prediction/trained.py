"""A task, or its network alone, as its checkpoint describes it, as a detector."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from detection.data.collate import CollateList, CollatePadded
from detection.data.transforms import DetectionTransform
from detection.models.backbones.folding import fold_for_good
from detection.models.inference import Inference
from detection.prediction.detector import Detector
from detection.registry import word_for
from detection.types import Detections, ListBatch, PaddedBatch

Task = TypeVar("Task", bound=Inference)


class TrainedDetector(Detector, Generic[Task]):
    """A trained task and the way images become its input.

    Args:
        task: a trained task, or its network alone, in evaluation.
        transform: the evaluation transform that belongs to it.
        described: its description, whose ``data`` says how images are collated.
    """

    def __init__(self, task: Task, transform: DetectionTransform, described: Mapping[str, Any]) -> None:
        super().__init__(transform)
        self.task, self.described = task, described
        self.collate = CollatePadded() if described["data"]["collate"] == "padded" else CollateList()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return self.task.class_names

    @property
    def network_name(self) -> str:
        """Such as ``SSD on MobileNetV2``."""
        backbone = word_for(str(self.described["model"].get("backbone", {}).get("_target_", "")))
        return " on ".join([type(self.task.network).__name__, *filter(None, [backbone])])

    def folded(self) -> Self:
        """The same detector, faster, which can only predict from now on; see ``fold_for_good``."""
        fold_for_good(self.task)  # type: ignore[arg-type]  # every task is a module
        return self

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in a batch of images; see `Detector`."""
        if self.task.network.training:
            self.task.network.eval()  # somebody has trained it, or means to
        batch = self.collate([self.prepare(image) for image in images])
        device = next(self.task.network.parameters()).device
        return [_on_cpu(found) for found in self.task.predict_step(_to_device(batch, device))]


def _to_device(batch: PaddedBatch | ListBatch, device: torch.device) -> PaddedBatch | ListBatch:
    """Move what predicting reads: images, and of padded batches their sizes."""
    if isinstance(batch, PaddedBatch):
        return batch._replace(images=batch.images.to(device), sizes=batch.sizes.to(device))
    return batch._replace(images=[image.to(device) for image in batch.images])


def _on_cpu(found: Detections) -> Detections:
    return Detections(boxes=found["boxes"].cpu(), scores=found["scores"].cpu(), labels=found["labels"].cpu())
