"""Everything an evaluation reports, from the detections and the objects of a dataset."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.metrics.calibration import Calibration, calibration
from detection.metrics.coco_ap import coco_ap_of_tables
from detection.metrics.confusion import Pairs, confused_pairs
from detection.metrics.errors import ERROR_KINDS, ErrorKind, Errors, cost_of_errors, find_errors
from detection.metrics.operating_point import (
    ImageCounts,
    OperatingPoint,
    SizeRecall,
    best_f1,
    count_by_image,
    pooled_curve,
    recall_by_size,
)
from detection.metrics.tables import DetectionTable, GroundTruthTable, IntArray, make_tables
from detection.metrics.voc_ap import VOCResult, judge, voc_ap
from detection.types import Detections, Target

SIZE_EDGES = np.array([16.0, 32.0, 64.0, 96.0, 128.0, 256.0])
"""Pixels; COCO's borders between small, medium and large, 32 and 96, are among them."""


class ErrorTable(NamedTuple):
    """All errors of an evaluation, one row each."""

    images: IntArray
    """``(E,)``."""
    kinds: IntArray
    """``(E,)``: index into ``ERROR_KINDS``."""
    labels: IntArray
    """``(E,)``: the class that was detected, or that of the missed object."""


class Analysis(NamedTuple):
    """The metrics of an evaluation at IoU 0.5; ``C`` classes, ``I`` images."""

    voc: VOCResult
    coco: dict[str, float] | None
    """What ``coco_ap_of_tables`` returns, less the classes; None where not asked for."""
    num_detections: IntArray
    """``(C,)``."""
    num_difficult: IntArray
    """``(C,)`` objects that are ignored."""
    points: list[OperatingPoint]
    """``C`` best thresholds by F1."""
    point: OperatingPoint
    """The best threshold by F1 over all classes together."""
    threshold: float
    """The score threshold of everything below that needs one."""
    confusion: IntArray
    """``(C + 1, C + 1)``, see ``Pairs.matrix``."""
    pairs: Pairs
    """What the confusion matrix counts, with its images."""
    calibration: Calibration
    error_counts: dict[ErrorKind, int]
    """Errors at or above the threshold."""
    error_costs: dict[ErrorKind, float]
    """What each kind costs in mAP (area) of the detections at or above the threshold."""
    map_above: float
    """The mAP (area) of the detections at or above the threshold alone, which the costs are added to."""
    errors: ErrorTable
    """What ``error_counts`` counts, with its images."""
    sizes: SizeRecall
    images: ImageCounts


def analyse(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    threshold: float | None = None,
    with_coco: bool = True,
) -> Analysis:
    """Evaluate detections by VOC's rules and look into their errors.

    Args:
        detections: What was found in each image.
        targets: What there was to find, in the same order and the same pixels.
        num_classes: ``C``.
        threshold: Score threshold where one is needed; None for the one with the best F1.
        with_coco: Compute COCO's average precision too, which needs ``hotcoco``.

    Raises:
        ImportError: If COCO's average precision is asked for and its engine is missing.
        ValueError: If the two lists differ in length or a label is outside ``0..C-1``.
    """
    found, existing = make_tables(detections, targets)
    voc = voc_ap(found, existing, num_classes)
    verdicts = judge(found, existing)
    point = best_f1(pooled_curve(found, verdicts, int(voc.num_gt.sum())))
    if threshold is None:
        # Without a best point (nothing to find, or nothing found) any threshold is as good.
        threshold = 0.5 if np.isnan(point.threshold) else point.threshold
    above = found.take(found.scores >= threshold)
    pairs = confused_pairs(found, existing, num_classes, threshold)
    errors = find_errors(above, existing, num_classes)
    counted = ~verdicts.ignored
    coco = coco_ap_of_tables(found, existing, num_classes) if with_coco else None
    return Analysis(
        voc=voc,
        coco=None if coco is None else {k: float(value) for k, value in coco.items() if k != "ap"},
        num_detections=np.bincount(found.labels, minlength=num_classes),
        num_difficult=np.bincount(existing.labels[existing.difficult], minlength=num_classes),
        points=[best_f1(curve) for curve in voc.curves],
        point=point,
        threshold=threshold,
        confusion=pairs.matrix(num_classes),
        pairs=pairs,
        calibration=calibration(found.scores[counted], verdicts.true_positive[counted]),
        error_counts=errors.counts(),
        error_costs=cost_of_errors(above, existing, num_classes),
        map_above=voc_ap(above, existing, num_classes).map_area,
        errors=_error_table(errors, above, existing),
        sizes=recall_by_size(found, existing, verdicts, SIZE_EDGES, threshold),
        images=count_by_image(found, existing, verdicts, len(targets), threshold),
    )


def _error_table(errors: Errors, above: DetectionTable, existing: GroundTruthTable) -> ErrorTable:
    wrong, missed = errors.kinds >= 0, errors.missed
    missed_kind = np.full(int(missed.sum()), ERROR_KINDS.index("missed"))
    return ErrorTable(
        np.concatenate([above.images[wrong], existing.images[missed]]),
        np.concatenate([errors.kinds[wrong], missed_kind]),
        np.concatenate([above.labels[wrong], existing.labels[missed]]),
    )
