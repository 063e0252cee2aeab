"""The test of a detector that is given whole images, not inputs of its network."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from detection.tasks.base import DetectionTask
from detection.types import Detections, ListBatch, Target


class WholeImages(pl.LightningModule):
    """Evaluates a detector of decoded images, on the device and in the precision of a trainer.

    There are no losses: they compare what the network says of its own inputs.

    Args:
        task: what is moved to the device; ``detect`` runs its network.
        detect: from ``(H, W, 3)`` RGB images to their detections.
    """

    def __init__(
        self,
        task: DetectionTask,
        detect: Callable[[Sequence[NDArray[np.uint8]]], list[Detections]],
    ) -> None:
        super().__init__()
        self.task = task
        self.detect = detect

    def transfer_batch_to_device(self, batch: ListBatch, *args: Any) -> ListBatch:
        """Leave whole images where they are; the inputs made of them are moved."""
        return batch

    def test_step(self, batch: ListBatch, batch_idx: int) -> dict[str, list[Detections]]:
        """Detect in one batch; the ``detections`` of each image, in its own pixels, are for callbacks."""
        return {"detections": self.detect([image.permute(1, 2, 0).numpy() for image in batch.images])}

    def original_targets(self, batch: ListBatch) -> list[Target]:
        """The ground truth of each image of a batch, in its own pixels."""
        return list(batch.targets)
