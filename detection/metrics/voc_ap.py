"""The average precision of the PASCAL VOC devkit as a pure function of flat arrays.

Every rule follows the devkit: a detection is compared with all the objects of its class in its image,
also those already found, and stands or falls with the one it overlaps most; ``difficult`` objects neither
reward nor punish. Both of its averages are computed: the mean over 11 recall levels (VOC2007) and the area
under the monotone curve (VOC2010 and later). The devkit's overlaps count pixels from the first to the last,
which is the area between the continuous edges here.

Shapes: ``D`` detections and ``G`` objects of all images together, ``C`` classes, ``K`` counted detections
of one class, i.e. those that are a true positive or a false positive.
"""

from typing import NamedTuple

import numpy as np

from detection.metrics.tables import (
    BoolArray,
    DetectionTable,
    FloatArray,
    GroundTruthTable,
    IntArray,
    best_first,
    best_overlaps,
    check_tables,
)

# i * 0.1, as the evaluators behind the published figures have it: the levels at 0.3, 0.6 and 0.7 lie one
# rounding error above the decimal, so a recall of exactly 3/10 does not reach the fourth level.
RECALL_LEVELS = np.arange(11) * 0.1


class Verdicts(NamedTuple):
    """What each detection was worth. One that is neither a true positive nor ignored is a false positive."""

    true_positive: BoolArray
    """``(D,)``: the first to find its object."""
    ignored: BoolArray
    """``(D,)``: it found a difficult object."""
    gt: IntArray
    """``(D,)``: row of the object that it overlaps enough, and most; -1 if there is none."""


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
        iou_threshold: A detection is a true positive from this overlap on.

    Returns:
        Both averages, their means and the curves. A mean is nan if no class has anything to find.

    Raises:
        ValueError: If the columns of a table differ in length, a label is outside ``0..C-1``, or the
            threshold is not in ``(0, 1]``.
    """
    check_tables(detections, ground_truth, num_classes)
    verdicts = judge(detections, ground_truth, iou_threshold)
    counted = ~verdicts.ignored
    num_gt = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=num_classes)
    return average_precision(
        detections.labels[counted], detections.scores[counted], verdicts.true_positive[counted], num_gt
    )


def judge(detections: DetectionTable, ground_truth: GroundTruthTable, iou_threshold: float = 0.5) -> Verdicts:
    """Decide of each detection whether it is a true positive, a false positive or ignored.

    Args:
        detections: What the detector found in all images.
        ground_truth: What there was to find.
        iou_threshold: A detection is a true positive from this overlap on.

    Raises:
        ValueError: If the threshold is not in ``(0, 1]``.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    best = best_overlaps(detections, ground_truth)
    matches = np.where(best.iou >= iou_threshold, best.gt, -1)
    matched = matches >= 0
    ignored = np.zeros(len(matches), dtype=bool)
    ignored[matched] = ground_truth.difficult[matches[matched]]

    true_positive = np.zeros(len(matches), dtype=bool)
    candidates = np.flatnonzero(matched & ~ignored)
    candidates = candidates[best_first(detections.scores[candidates])]
    # The first detection of an object is a true positive, every later one a false positive.
    _, first = np.unique(matches[candidates], return_index=True)
    true_positive[candidates[first]] = True
    return Verdicts(true_positive, ignored, matches)


def average_precision(
    labels: IntArray, scores: FloatArray, true_positive: BoolArray, num_gt: IntArray
) -> VOCResult:
    """Compute the average precision of judged detections.

    Args:
        labels: ``(D,)`` classes of the detections that count; equal scores rank in row order.
        scores: ``(D,)``.
        true_positive: ``(D,)``.
        num_gt: ``(C,)`` objects to find.
    """
    ap_07, ap_area = np.full(len(num_gt), np.nan), np.full(len(num_gt), np.nan)
    curves = []
    for label, count in enumerate(num_gt):
        rows = np.flatnonzero(labels == label)
        rows = rows[best_first(scores[rows])]
        true_positives = np.cumsum(true_positive[rows])
        precision = true_positives / np.arange(1, len(rows) + 1)
        recall = true_positives / count if count else np.full(len(rows), np.nan)
        curve = PrecisionRecall(precision, recall, scores[rows])
        curves.append(curve)
        if count:
            ap_07[label] = _eleven_point_average(curve)
            ap_area[label] = _area(curve)
    return VOCResult(ap_07, ap_area, _nanmean(ap_07), _nanmean(ap_area), num_gt, curves)


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
