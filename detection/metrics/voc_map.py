"""VOC mean average precision as a torchmetrics metric: accumulates batches, gathers over processes."""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from detection.metrics.voc_ap import DetectionTable, GroundTruthTable, IntArray, voc_ap
from detection.types import Detections, Target

Interpolation = Literal["07", "area"]
"""How average precision is summed: at 11 recall levels (VOC 2007), or as an area (VOC 2010 on)."""


class VOCMeanAP(Metric):
    """Mean average precision with the rules of the PASCAL VOC devkit (see ``voc_ap``).

    An image counts once however often it is seen, so a sampler that repeats images to give every process
    the same number does not change the result. Images are told apart by ``image_id``, and equal scores
    rank in an order that depends on the ids alone: the number of processes does not matter.

    Args:
        num_classes: ``C``, without background.
        interpolation: Which average ``map`` and ``ap`` report: ``"07"`` (11 recall levels, VOC2007) or
            ``"area"`` (VOC2010 and later).
        iou_threshold: A detection hits from this overlap on.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``interpolation`` is neither.
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

    def __init__(
        self,
        num_classes: int,
        interpolation: Interpolation = "07",
        iou_threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if interpolation not in ("07", "area"):
            raise ValueError(f"interpolation must be '07' or 'area', got {interpolation!r}")
        self.num_classes = num_classes
        self.interpolation = interpolation
        self.iou_threshold = iou_threshold
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
        }
        for name in self._empty_states:
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.reset()

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
        self._extend("image_hashes", torch.tensor([_hash(target["image_id"]) for target in targets]))
        self._extend("detection_counts", torch.tensor([len(image["labels"]) for image in detections]))
        self._extend("detection_labels", torch.cat([image["labels"] for image in detections]))
        self._extend("detection_scores", torch.cat([image["scores"] for image in detections]))
        self._extend("detection_boxes", torch.cat([image["boxes"] for image in detections]))
        self._extend("gt_counts", torch.tensor([len(target["labels"]) for target in targets]))
        self._extend("gt_labels", torch.cat([target["labels"] for target in targets]))
        self._extend("gt_boxes", torch.cat([target["boxes"] for target in targets]))
        self._extend("gt_difficult", torch.cat([target["difficult"] for target in targets]))

    def _extend(self, name: str, rows: Tensor) -> None:
        empty = self._empty_states[name]
        getattr(self, name).append(rows.detach().to(self.device, empty.dtype))

    def compute(self) -> dict[str, Tensor]:
        """Evaluate all images seen by all processes.

        Returns:
            ``map`` and ``ap`` ``(C,)`` by the chosen interpolation, ``map_07`` and ``map_area``. A class
            without objects to find is nan and left out of the means; nan without any such class.
        """
        states = {name: dim_zero_cat(getattr(self, name)).cpu().numpy() for name in self._empty_states}
        detection_images, detection_rows = _images_and_rows(
            states["image_hashes"], states["detection_counts"]
        )
        gt_images, gt_rows = _images_and_rows(states["image_hashes"], states["gt_counts"])
        result = voc_ap(
            DetectionTable(
                detection_images,
                states["detection_labels"][detection_rows],
                states["detection_scores"][detection_rows],
                states["detection_boxes"][detection_rows],
            ),
            GroundTruthTable(
                gt_images,
                states["gt_labels"][gt_rows],
                states["gt_boxes"][gt_rows],
                states["gt_difficult"][gt_rows],
            ),
            self.num_classes,
            self.iou_threshold,
        )
        by_07 = self.interpolation == "07"
        return {
            "map": self._tensor(result.map_07 if by_07 else result.map_area),
            "map_07": self._tensor(result.map_07),
            "map_area": self._tensor(result.map_area),
            "ap": self._tensor(result.ap_07 if by_07 else result.ap_area),
        }

    def _tensor(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=self.device)


def _hash(image_id: str) -> int:
    """Return a 64-bit number that is the same in every process; Python's own hash is salted."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest(), "big", signed=True)


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
