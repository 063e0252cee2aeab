"""The average precision of the PASCAL VOC devkit as a pure function of flat arrays.

Every rule follows the devkit: a detection is compared with all the objects of its class in its image,
also those already found, and stands or falls with the one it overlaps most; overlaps count whole
pixels; ``difficult`` objects neither reward nor punish. Both of its averages are computed: the mean over
11 recall levels (VOC2007) and the area under the monotone curve (VOC2010 and later).

Shapes: ``D`` detections and ``G`` objects of all images together, ``C`` classes, ``K`` counted detections
of one class, i.e. those that are a hit or a false alarm.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

# i * 0.1, as the evaluators behind the published figures have it: the levels at 0.3, 0.6 and 0.7 lie one
# rounding error above the decimal, so a recall of exactly 3/10 does not reach the fourth level.
RECALL_LEVELS = np.arange(11) * 0.1


class DetectionTable(NamedTuple):
    """The detections of a dataset, one row each; equal scores rank in row order."""

    images: IntArray
    """``(D,)``: which image, any integers."""
    labels: IntArray
    """``(D,)``, ``0..C-1``."""
    scores: FloatArray
    """``(D,)``."""
    boxes: FloatArray
    """``(D, 4)`` xyxy, 0-based, in pixels of the original image."""

    def take(self, rows: IntArray) -> "DetectionTable":
        """Return the given rows, in the given order."""
        return DetectionTable(self.images[rows], self.labels[rows], self.scores[rows], self.boxes[rows])


class GroundTruthTable(NamedTuple):
    """The objects of a dataset, one row each."""

    images: IntArray
    """``(G,)``: which image, the integers used by the detections."""
    labels: IntArray
    """``(G,)``, ``0..C-1``."""
    boxes: FloatArray
    """``(G, 4)`` xyxy, 0-based, in pixels of the original image."""
    difficult: BoolArray
    """``(G,)``: ignored, whether found or not."""

    def take(self, rows: IntArray) -> "GroundTruthTable":
        """Return the given rows, in the given order."""
        return GroundTruthTable(self.images[rows], self.labels[rows], self.boxes[rows], self.difficult[rows])


class PrecisionRecall(NamedTuple):
    """The curve of one class, from the best score down; detections of difficult objects are left out."""

    precision: FloatArray
    """``(K,)``."""
    recall: FloatArray
    """``(K,)``, nan where the class has nothing to find."""
    scores: FloatArray
    """``(K,)``: the score threshold that reaches this point."""


class VOCResult(NamedTuple):
    """Average precision per class and its mean over the classes that have something to find."""

    ap_07: FloatArray
    """``(C,)``: mean over 11 recall levels; nan where ``num_gt`` is 0."""
    ap_area: FloatArray
    """``(C,)``: area under the monotone curve; nan where ``num_gt`` is 0."""
    map_07: float
    map_area: float
    num_gt: IntArray
    """``(C,)``: objects to find, i.e. those not difficult."""
    curves: list[PrecisionRecall]
    """``C`` curves."""


def voc_ap(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    num_classes: int,
    iou_threshold: float = 0.5,
) -> VOCResult:
    """Compute the VOC average precision of each class.

    Args:
        detections: What the detector found in all images.
        ground_truth: What there was to find.
        num_classes: ``C``.
        iou_threshold: A detection hits from this overlap on.

    Returns:
        Both averages, their means and the curves. A mean is nan if no class has anything to find.

    Raises:
        ValueError: If the columns of a table differ in length, a label is outside ``0..C-1``, or the
            threshold is not in ``(0, 1]``.
    """
    _check_table("detections", detections._asdict(), num_classes)
    _check_table("ground_truth", ground_truth._asdict(), num_classes)
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    ap_07 = np.full(num_classes, np.nan)
    ap_area = np.full(num_classes, np.nan)
    num_gt = np.zeros(num_classes, dtype=np.int64)
    curves = []
    # One class at a time keeps the float64 copies of the boxes small.
    for label in range(num_classes):
        class_detections = _ranked(detections, label)
        class_gt = _by_image(ground_truth, label)
        curve = _curve(class_detections, class_gt, iou_threshold)
        curves.append(curve)
        num_gt[label] = np.count_nonzero(~class_gt.difficult)
        if num_gt[label]:
            ap_07[label] = _eleven_point_average(curve)
            ap_area[label] = _area(curve)
    return VOCResult(ap_07, ap_area, _nanmean(ap_07), _nanmean(ap_area), num_gt, curves)


def _check_table(name: str, columns: dict[str, NDArray[Any]], num_classes: int) -> None:
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of {name} differ in length: {lengths}")
    labels = columns["labels"]
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(
            f"{name} has labels from {labels.min()} to {labels.max()}, but num_classes is {num_classes}: "
            f"labels count from 0 to {num_classes - 1}, without background"
        )


def _ranked(detections: DetectionTable, label: int) -> DetectionTable:
    """Return the rows of one class, best score first."""
    rows = np.flatnonzero(detections.labels == label)
    return detections.take(rows[np.argsort(-detections.scores[rows], kind="stable")])


def _by_image(ground_truth: GroundTruthTable, label: int) -> GroundTruthTable:
    """Return the rows of one class, those of an image side by side."""
    rows = np.flatnonzero(ground_truth.labels == label)
    return ground_truth.take(rows[np.argsort(ground_truth.images[rows], kind="stable")])


def _curve(detections: DetectionTable, gt: GroundTruthTable, iou_threshold: float) -> PrecisionRecall:
    """Judge the ranked detections of one class and accumulate precision and recall."""
    matches = _best_gt(detections, gt, iou_threshold)
    matched = matches >= 0
    ignored = np.zeros(len(matches), dtype=bool)
    ignored[matched] = gt.difficult[matches[matched]]

    hit = np.zeros(len(matches), dtype=bool)
    candidates = np.flatnonzero(matched & ~ignored)
    # The first detection of an object is a hit, every later one a false alarm.
    _, first = np.unique(matches[candidates], return_index=True)
    hit[candidates[first]] = True

    counted = ~ignored
    true_positives = np.cumsum(hit[counted])
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    num_gt = np.count_nonzero(~gt.difficult)
    recall = true_positives / num_gt if num_gt else np.full(len(true_positives), np.nan)
    return PrecisionRecall(precision, recall, detections.scores[counted])


def _best_gt(detections: DetectionTable, gt: GroundTruthTable, iou_threshold: float) -> IntArray:
    """Return for each detection the object it overlaps most, -1 if none reaches the threshold.

    The loop runs over the rank of an object within its image (a handful), not over detections or images;
    each step compares all detections with the object of that rank in their own image.
    """
    det_boxes, gt_boxes = detections.boxes.astype(np.float64), gt.boxes.astype(np.float64)
    start = np.searchsorted(gt.images, detections.images, side="left")
    end = np.searchsorted(gt.images, detections.images, side="right")
    best_iou = np.zeros(len(det_boxes))
    best_gt = np.full(len(det_boxes), -1)
    for rank in range(int((end - start).max(initial=0))):
        rows = np.flatnonzero(start + rank < end)
        candidates = start[rows] + rank
        iou = _pixel_iou(det_boxes[rows], gt_boxes[candidates])
        better = iou > best_iou[rows]  # strictly: of equal overlaps the first object wins
        best_iou[rows[better]] = iou[better]
        best_gt[rows[better]] = candidates[better]
    best_gt[best_iou < iou_threshold] = -1
    return best_gt


def _pixel_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of row-wise pairs of boxes ``(N, 4)``, a box from x1 to x2 being ``x2 - x1 + 1`` wide.

    VOC annotates the first and the last pixel inside the object, so the devkit counts both.
    """
    top_left = np.maximum(a[:, :2], b[:, :2])
    bottom_right = np.minimum(a[:, 2:], b[:, 2:])
    overlap = np.maximum(bottom_right - top_left + 1, 0).prod(axis=1)
    area_a = (a[:, 2:] - a[:, :2] + 1).prod(axis=1)
    area_b = (b[:, 2:] - b[:, :2] + 1).prod(axis=1)
    iou: FloatArray = overlap / (area_a + area_b - overlap)
    return iou


def _eleven_point_average(curve: PrecisionRecall) -> float:
    """Return the mean over 11 recall levels of the best precision at that recall or beyond."""
    reached = np.searchsorted(curve.recall, RECALL_LEVELS, side="left")
    return float(np.append(_envelope(curve.precision), 0.0)[reached].mean())


def _area(curve: PrecisionRecall) -> float:
    """Return the area under the curve whose precision is made monotone from the right."""
    rises = np.diff(curve.recall, prepend=0.0, append=1.0)
    heights = np.append(_envelope(curve.precision), 0.0)
    return float((rises * heights)[rises > 0].sum())


def _envelope(precision: FloatArray) -> FloatArray:
    envelope: FloatArray = np.maximum.accumulate(precision[::-1])[::-1]
    return envelope


def _nanmean(ap: FloatArray) -> float:
    # np.nanmean warns when every class is nan.
    return float(np.nanmean(ap)) if np.isfinite(ap).any() else float("nan")
