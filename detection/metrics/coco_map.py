"""COCO mean average precision as a torchmetrics metric."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from detection.metrics.coco_ap import coco_ap, import_engine
from detection.metrics.image_metric import ImageMetric
from detection.types import Detections, Target


class COCOMeanAP(ImageMetric):
    """COCO average precision of the images seen by all processes (see ``coco_ap``).

    Args:
        num_classes: ``C``, without background.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ImportError: If the optional dependency is missing; now, not after hours of training.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        import_engine()

    def compute(self) -> dict[str, Tensor]:
        """Evaluate all images.

        Returns:
            What ``coco_ap`` returns.
        """
        found, existing = self.tables()
        num_images = 1 + max([-1, *found.images.tolist(), *existing.images.tolist()])
        images = np.arange(num_images + 1)
        found_rows = np.searchsorted(found.images, images)
        existing_rows = np.searchsorted(existing.images, images)
        detections, targets = [], []
        for image in range(num_images):
            rows = slice(found_rows[image], found_rows[image + 1])
            detections.append(
                Detections(
                    boxes=torch.from_numpy(found.boxes[rows]),
                    scores=torch.from_numpy(found.scores[rows]),
                    labels=torch.from_numpy(found.labels[rows]),
                )
            )
            rows = slice(existing_rows[image], existing_rows[image + 1])
            targets.append(
                Target(
                    boxes=torch.from_numpy(existing.boxes[rows]),
                    labels=torch.from_numpy(existing.labels[rows]),
                    difficult=torch.from_numpy(existing.difficult[rows]),
                    image_id=str(image),
                    size=(0, 0),  # boxes are in pixels; COCO AP does not ask for the image's size
                )
            )
        return coco_ap(detections, targets, self.num_classes)
