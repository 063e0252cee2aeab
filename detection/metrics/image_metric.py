"""What detection metrics share: they keep what was found and what was there, over all processes."""

from abc import ABC
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from detection.metrics.tables import DetectionTable, GroundTruthTable, IntArray, areas_of, image_key
from detection.types import Detections, Target


class ImageMetric(Metric, ABC):
    """Keeps the detections and the objects of all images until ``compute``.

    An image counts once however often it is seen, so a sampler that repeats images to give every process
    the same number does not change the result. Images are told apart by ``image_id``, and they are ordered by
    the ids alone: the number of processes does not matter.

    Args:
        num_classes: ``C``, without background.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    image_hashes: list[Tensor]
    detection_counts: list[Tensor]
    detection_labels: list[Tensor]
    detection_scores: list[Tensor]
    detection_boxes: list[Tensor]
    gt_counts: list[Tensor]
    gt_labels: list[Tensor]
    gt_boxes: list[Tensor]
    gt_difficult: list[Tensor]
    gt_areas: list[Tensor]

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        # Rows of all images end to end; the counts say how many rows belong to each image.
        self._empty_states = {
            "image_hashes": torch.zeros(0, dtype=torch.int64),
            "detection_counts": torch.zeros(0, dtype=torch.int64),
            "detection_labels": torch.zeros(0, dtype=torch.int64),
            "detection_scores": torch.zeros(0),
            "detection_boxes": torch.zeros(0, 4),
            "gt_counts": torch.zeros(0, dtype=torch.int64),
            "gt_labels": torch.zeros(0, dtype=torch.int64),
            "gt_boxes": torch.zeros(0, 4),
            "gt_difficult": torch.zeros(0, dtype=torch.bool),
            "gt_areas": torch.zeros(0),
        }
        for name in self._empty_states:
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.reset()

    def _wrap_compute(self, compute: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
        """Keep the shapes of what ``compute`` returns, by name.

        torchmetrics makes a scalar of every tensor that has one element, and so of every vector over classes
        where there is one class.
        """
        shapes: dict[str, torch.Size] = {}

        @wraps(compute)
        def noted(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            result = compute(*args, **kwargs)
            shapes.update({name: value.shape for name, value in result.items()})
            return result

        computed = super()._wrap_compute(noted)

        @wraps(compute)
        def restored(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            return {name: value.reshape(shapes[name]) for name, value in computed(*args, **kwargs).items()}

        return restored

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        # A process without images must take part in the gathering with the right dtype and rank, where
        # torchmetrics would send a flat float tensor.
        for name, empty in self._empty_states.items():
            getattr(self, name).append(empty.to(self.device))

    def update(self, detections: list[Detections], targets: list[Target]) -> None:
        """Add the images of one batch.

        Args:
            detections: What was found in each image.
            targets: What there was to find, in the same order and the same pixels.

        Raises:
            ValueError: If the two lists differ in length.
        """
        if len(detections) != len(targets):
            raise ValueError(f"{len(detections)} detections for {len(targets)} targets: need one per image")
        if not targets:
            return
        self._extend("image_hashes", torch.tensor([image_key(target["image_id"]) for target in targets]))
        self._extend("detection_counts", torch.tensor([len(image["labels"]) for image in detections]))
        self._extend("detection_labels", torch.cat([image["labels"] for image in detections]))
        self._extend("detection_scores", torch.cat([image["scores"] for image in detections]))
        self._extend("detection_boxes", torch.cat([image["boxes"] for image in detections]))
        self._extend("gt_counts", torch.tensor([len(target["labels"]) for target in targets]))
        self._extend("gt_labels", torch.cat([target["labels"] for target in targets]))
        self._extend("gt_boxes", torch.cat([target["boxes"] for target in targets]))
        self._extend("gt_difficult", torch.cat([target["difficult"] for target in targets]))
        self._extend("gt_areas", torch.cat([areas_of(target) for target in targets]))

    def _extend(self, name: str, rows: Tensor) -> None:
        empty = self._empty_states[name]
        getattr(self, name).append(rows.detach().to(self.device, empty.dtype))

    def tables(self) -> tuple[DetectionTable, GroundTruthTable]:
        """What was found and what was there, each image once; for use inside ``compute``."""
        states = {name: dim_zero_cat(getattr(self, name)).cpu().numpy() for name in self._empty_states}
        detection_images, detection_rows = _images_and_rows(
            states["image_hashes"], states["detection_counts"]
        )
        gt_images, gt_rows = _images_and_rows(states["image_hashes"], states["gt_counts"])
        found = DetectionTable(
            detection_images,
            states["detection_labels"][detection_rows],
            states["detection_scores"][detection_rows],
            states["detection_boxes"][detection_rows],
        )
        existing = GroundTruthTable(
            gt_images,
            states["gt_labels"][gt_rows],
            states["gt_boxes"][gt_rows],
            states["gt_difficult"][gt_rows],
            states["gt_areas"][gt_rows],
        )
        return found, existing


def _images_and_rows(hashes: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Order the rows of all images by image, those of a repeated image once.

    Args:
        hashes: ``(I,)`` image hashes, in which an image may occur several times.
        counts: ``(I,)`` how many consecutive rows belong to each.

    Returns:
        The image number of each kept row, ascending, and the index of that row.
    """
    _, first = np.unique(hashes, return_index=True)
    numbers = np.full(len(hashes), -1)
    numbers[first] = np.arange(len(first))
    images = np.repeat(numbers, counts)
    rows = np.argsort(images, kind="stable")
    rows = rows[images[rows] >= 0]
    return images[rows], rows
