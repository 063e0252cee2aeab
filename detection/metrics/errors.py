"""The kinds of error a detector makes, and how much average precision each costs.

Kinds and remedies follow TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection
Errors", ECCV 2020, section 2), with the rules of VOC: difficult objects are ignored.
"""

from typing import Literal, NamedTuple

import numpy as np

from detection.metrics.tables import (
    BoolArray,
    DetectionTable,
    GroundTruthTable,
    IntArray,
    best_overlaps,
    check_tables,
)
from detection.metrics.voc_ap import Verdicts, VOCResult, average_precision, judge

ErrorKind = Literal["localisation", "confusion", "both", "duplicate", "background", "missed"]
DETECTION_KINDS: tuple[ErrorKind, ...] = ("localisation", "confusion", "both", "duplicate", "background")
ERROR_KINDS: tuple[ErrorKind, ...] = (*DETECTION_KINDS, "missed")
# Below this overlap a detection has nothing to do with an object (TIDE's t_b).
BACKGROUND_IOU = 0.1
_ROUNDING = 1e-12  # of a mean of average precisions


class Errors(NamedTuple):
    """The error of each detection and of each object."""

    kinds: IntArray
    """``(D,)``: index into ``DETECTION_KINDS``, -1 for a detection that is a true positive or ignored."""
    gt: IntArray
    """``(D,)``: row of the object that a localisation or confusion error was after; -1 of the others."""
    missed: BoolArray
    """``(G,)``: neither found nor the aim of a localisation or confusion error; never a difficult object."""

    def counts(self) -> dict[ErrorKind, int]:
        """How many errors of each kind there are."""
        of_detections = {kind: int((self.kinds == i).sum()) for i, kind in enumerate(DETECTION_KINDS)}
        return {**of_detections, "missed": int(self.missed.sum())}


class _Judged(NamedTuple):
    """Everything that is known about a dataset's detections."""

    detections: DetectionTable
    ground_truth: GroundTruthTable
    verdicts: Verdicts
    errors: Errors
    num_gt: IntArray


def find_errors(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    num_classes: int,
    iou_threshold: float = 0.5,
) -> Errors:
    """Tell what is wrong with each false positive, and which objects nothing came near.

    A false positive is, in this order: a *localisation* error if it overlaps an object of its class by 0.1 or
    more, but not enough; a *confusion* if it overlaps one of another class enough; a *duplicate* if its
    object was found already; *both* if it overlaps one of another class by 0.1 or more, but not enough;
    else *background*.

    Args:
        detections: What was found in all images.
        ground_truth: What there was to find.
        num_classes: ``C``.
        iou_threshold: A detection is a true positive from this overlap on.

    Raises:
        ValueError: If the tables or the threshold are not fit for ``voc_ap``.
    """
    check_tables(detections, ground_truth, num_classes)
    return _find_errors(
        detections, ground_truth, judge(detections, ground_truth, iou_threshold), iou_threshold
    )


def _find_errors(
    detections: DetectionTable, ground_truth: GroundTruthTable, verdicts: Verdicts, iou_threshold: float
) -> Errors:
    same = best_overlaps(detections, ground_truth)
    other = best_overlaps(detections, ground_truth, same_class=False)
    conditions: dict[ErrorKind, BoolArray] = {
        "localisation": (same.iou >= BACKGROUND_IOU) & (same.iou < iou_threshold),
        "confusion": other.iou >= iou_threshold,
        "duplicate": verdicts.gt >= 0,
        "both": other.iou >= BACKGROUND_IOU,
        "background": np.ones(len(same.iou), dtype=bool),
    }
    kinds = np.full(len(same.iou), -1)
    open_ = ~verdicts.true_positive & ~verdicts.ignored
    for kind, condition in conditions.items():
        kinds[open_ & condition] = DETECTION_KINDS.index(kind)
        open_ &= ~condition
    gt = np.full(len(kinds), -1)
    for kind, overlaps in (("localisation", same), ("confusion", other)):
        rows = kinds == ERROR_KINDS.index(kind)
        gt[rows] = overlaps.gt[rows]
    missed = ~ground_truth.difficult
    missed[verdicts.gt[verdicts.true_positive]] = False
    missed[gt[gt >= 0]] = False
    return Errors(kinds, gt, missed)


def cost_of_errors(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    num_classes: int,
    iou_threshold: float = 0.5,
) -> dict[ErrorKind, float]:
    """Compute how much mAP (area under the curve) would rise if all errors of one kind were put right.

    A localisation or confusion error becomes a true positive of the object it was after, unless that was
    found otherwise or a better-scored error of the kind is after it: then it disappears, as duplicates,
    background and errors that are both do. Missed objects are not asked for.

    Args:
        detections: What was found in all images.
        ground_truth: What there was to find.
        num_classes: ``C``.
        iou_threshold: A detection is a true positive from this overlap on.

    Returns:
        The gain by kind, nan if there is nothing to find. Gains do not add up: errors hide one another.

    Raises:
        ValueError: If the tables or the threshold are not fit for ``voc_ap``.
    """
    check_tables(detections, ground_truth, num_classes)
    verdicts = judge(detections, ground_truth, iou_threshold)
    errors = _find_errors(detections, ground_truth, verdicts, iou_threshold)
    num_gt = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=num_classes)
    judged = _Judged(detections, ground_truth, verdicts, errors, num_gt)
    nothing = np.zeros(len(verdicts.true_positive), dtype=bool)
    before = _average_precision(judged, detections.labels, verdicts.true_positive, nothing, num_gt).map_area
    gains = {kind: _repaired_map(judged, kind) - before for kind in ERROR_KINDS}
    # Of a mean of floating-point numbers a hair may be left where nothing was put right.
    return {kind: 0.0 if abs(gain) < _ROUNDING else gain for kind, gain in gains.items()}


def _repaired_map(judged: _Judged, kind: ErrorKind) -> float:
    """Mean average precision with all errors of one kind put right."""
    ap = _repaired(judged, kind).ap_area
    # Where all objects of a class were missed, none is left to ask for: were they found, it would be perfect.
    ap[(judged.num_gt > 0) & np.isnan(ap)] = 1.0
    defined = ap[judged.num_gt > 0]
    return float(defined.mean()) if defined.size else float("nan")


def _repaired(judged: _Judged, kind: ErrorKind) -> VOCResult:
    """Average precision with all errors of one kind put right; nan for a class that was missed altogether."""
    labels, true_positive = judged.detections.labels, judged.verdicts.true_positive
    if kind == "missed":
        missed = np.bincount(judged.ground_truth.labels[judged.errors.missed], minlength=len(judged.num_gt))
        nothing = np.zeros(len(true_positive), dtype=bool)
        return _average_precision(judged, labels, true_positive, nothing, judged.num_gt - missed)
    wrong = judged.errors.kinds == ERROR_KINDS.index(kind)
    if kind not in ("localisation", "confusion"):
        return _average_precision(judged, labels, true_positive, wrong, judged.num_gt)
    wanted = ~judged.ground_truth.difficult
    wanted[judged.verdicts.gt[true_positive]] = False
    ranked = np.argsort(-judged.detections.scores, kind="stable")
    candidates = ranked[wrong[ranked]]
    candidates = candidates[wanted[judged.errors.gt[candidates]]]
    gt, first = np.unique(judged.errors.gt[candidates], return_index=True)
    corrected = candidates[first]
    labels, true_positive, dropped = labels.copy(), true_positive.copy(), wrong.copy()
    labels[corrected] = judged.ground_truth.labels[gt]
    true_positive[corrected] = True
    dropped[corrected] = False
    return _average_precision(judged, labels, true_positive, dropped, judged.num_gt)


def _average_precision(
    judged: _Judged, labels: IntArray, true_positive: BoolArray, dropped: BoolArray, num_gt: IntArray
) -> VOCResult:
    kept = ~(dropped | judged.verdicts.ignored)
    return average_precision(labels[kept], judged.detections.scores[kept], true_positive[kept], num_gt)
