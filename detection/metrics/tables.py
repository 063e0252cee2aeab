"""A dataset's detections and objects as flat tables, and the overlaps between their rows.

Shapes: ``D`` detections and ``G`` objects of all images together.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from detection.types import Detections, Target

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]


class DetectionTable(NamedTuple):
    """The detections of a dataset, one row each; equal scores rank in row order."""

    images: IntArray
    """``(D,)``: which image, any integers."""
    labels: IntArray
    """``(D,)``, ``0..C-1``."""
    scores: FloatArray
    """``(D,)``."""
    boxes: FloatArray
    """``(D, 4)`` xyxy in pixels of the original image."""

    def take(self, rows: IntArray | BoolArray) -> "DetectionTable":
        """Return the given rows, in the given order."""
        return DetectionTable(self.images[rows], self.labels[rows], self.scores[rows], self.boxes[rows])


class GroundTruthTable(NamedTuple):
    """The objects of a dataset, one row each."""

    images: IntArray
    """``(G,)``: which image, the integers used by the detections."""
    labels: IntArray
    """``(G,)``, ``0..C-1``."""
    boxes: FloatArray
    """``(G, 4)`` xyxy in pixels of the original image."""
    difficult: BoolArray
    """``(G,)``: ignored, whether found or not."""
    areas: FloatArray | None = None
    """``(G,)``: of the objects, see `Target.areas`; None stands for those of the boxes."""

    def take(self, rows: IntArray | BoolArray) -> "GroundTruthTable":
        """Return the given rows, in the given order."""
        areas = None if self.areas is None else self.areas[rows]
        return GroundTruthTable(
            self.images[rows], self.labels[rows], self.boxes[rows], self.difficult[rows], areas
        )


class Overlaps(NamedTuple):
    """For each detection, the object that it overlaps most among those it was compared with."""

    iou: FloatArray
    """``(D,)``, 0 where it overlaps none."""
    gt: IntArray
    """``(D,)``: row of the object, -1 where it overlaps none."""


def make_tables(
    detections: Sequence[Detections], targets: Sequence[Target]
) -> tuple[DetectionTable, GroundTruthTable]:
    """Put the images of a dataset into two tables; images are numbered from 0 in the given order.

    The rows come in an order of the images that depends on their ids alone, so that equal scores rank alike
    however a dataset is read.

    Args:
        detections: What was found in each image.
        targets: What there was to find, in the same order and the same pixels.

    Raises:
        ValueError: If the two lists differ in length.
    """
    if len(detections) != len(targets):
        raise ValueError(f"{len(detections)} detections for {len(targets)} targets: need one per image")
    keys = np.array([image_key(target["image_id"]) for target in targets], dtype=np.int64)
    images = np.argsort(keys, kind="stable")
    columns = [(detections[i], targets[i]) for i in images]
    found = [(d["labels"].cpu(), d["scores"].cpu(), d["boxes"].cpu()) for d, _ in columns]
    existing = [
        (t["labels"].cpu(), t["boxes"].cpu(), t["difficult"].cpu(), areas_of(t).cpu()) for _, t in columns
    ]
    none = (torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 4))
    labels, scores, boxes = (torch.cat(column).numpy() for column in zip(none, *found, strict=True))
    no_gt = (none[0], none[2], torch.zeros(0, dtype=torch.bool), none[1])
    gt_labels, gt_boxes, difficult, areas = (
        torch.cat(column).numpy() for column in zip(no_gt, *existing, strict=True)
    )
    return (
        DetectionTable(np.repeat(images, [len(row[0]) for row in found]), labels, scores, boxes),
        GroundTruthTable(
            np.repeat(images, [len(row[0]) for row in existing]), gt_labels, gt_boxes, difficult, areas
        ),
    )


def areas_of(target: Target) -> torch.Tensor:
    """The areas of an image's objects, ``(N,)``; those of the boxes where nobody says others."""
    sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
    return target["areas"] if "areas" in target else sides.prod(dim=1)


def image_key(image_id: str) -> int:
    """Return a 64-bit number that is the same in every process; Python's own hash is salted."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest(), "big", signed=True)


def check_tables(detections: DetectionTable, ground_truth: GroundTruthTable, num_classes: int) -> None:
    """Check that two tables are what a metric can work with.

    Raises:
        ValueError: If the columns of a table differ in length, or a label is outside ``0..C-1``.
    """
    for name, columns in (("detections", detections._asdict()), ("ground_truth", ground_truth._asdict())):
        lengths = {column: len(values) for column, values in columns.items() if values is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of {name} differ in length: {lengths}")
        labels = columns["labels"]
        if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
            raise ValueError(
                f"{name} has labels from {labels.min()} to {labels.max()}, but num_classes is {num_classes}: "
                f"labels count from 0 to {num_classes - 1}, without background"
            )


def best_overlaps(
    detections: DetectionTable, ground_truth: GroundTruthTable, same_class: bool = True
) -> Overlaps:
    """Find for each detection the object of its image that it overlaps most; of equal overlaps the first.

    The loop runs over the rank of an object among those to compare with (a handful), not over detections or
    images; each step compares all detections with the object of that rank in their own image.

    Args:
        detections: The detections.
        ground_truth: The objects.
        same_class: Compare with objects of the detection's class; else with those of all other classes.
    """
    groups, gt_groups = detections.images, ground_truth.images
    if same_class:
        num_classes = 1 + max(detections.labels.max(initial=0), ground_truth.labels.max(initial=0))
        groups = groups * num_classes + detections.labels
        gt_groups = gt_groups * num_classes + ground_truth.labels
    by_group = np.argsort(gt_groups, kind="stable")
    gt, gt_groups = ground_truth.take(by_group), gt_groups[by_group]
    start = np.searchsorted(gt_groups, groups)
    best_iou = np.zeros(len(detections.labels))
    best_gt = np.full(len(detections.labels), -1)
    left = np.arange(len(detections.labels))  # detections whose group has an object of this rank
    for rank in range(len(gt_groups)):
        left = left[start[left] + rank < len(gt_groups)]
        left = left[gt_groups[start[left] + rank] == groups[left]]
        if not left.size:
            break
        rows = left if same_class else left[detections.labels[left] != gt.labels[start[left] + rank]]
        candidates = start[rows] + rank
        iou = paired_iou(detections.boxes[rows], gt.boxes[candidates])
        better = iou > best_iou[rows]
        best_iou[rows[better]] = iou[better]
        best_gt[rows[better]] = by_group[candidates[better]]
    return Overlaps(best_iou, best_gt)


def best_first(scores: FloatArray) -> IntArray:
    """Return the order of descending scores, in which equal scores keep the order of their rows.

    A stable sort of float32 takes eight times as long as one of different integers.

    Args:
        scores: ``(D,)``.
    """
    if scores.dtype != np.float32:
        return np.argsort(-scores, kind="stable")
    # The bits of a float, read as an integer, sort like the float if it is not negative; of negative ones all
    # but the sign are inverted. Adding zero turns -0.0 into 0.0.
    bits = (scores + np.float32(0)).view(np.int32)
    bits = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = np.bitwise_not(bits).astype(np.int64) << 32 | np.arange(len(scores))
    keys.sort()
    order: IntArray = keys & 0xFFFFFFFF
    return order


def paired_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of row-wise pairs of boxes ``(N, 4)``, in double precision; 0 where both are empty.

    Of boxes that were read from VOC's corners it is the devkit's, which counts the pixels from the first to
    the last: ``xmax - xmin + 1 = x2 - x1``.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    overlap = _areas(np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:]))
    union = _areas(a[:, :2], a[:, 2:]) + _areas(b[:, :2], b[:, 2:]) - overlap
    iou: FloatArray = overlap / np.where(union > 0, union, 1.0)
    return iou


def _areas(top_left: FloatArray, bottom_right: FloatArray) -> FloatArray:
    areas: FloatArray = np.maximum(bottom_right - top_left, 0).prod(axis=1)
    return areas
