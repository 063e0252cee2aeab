"""Everything an evaluation reports, from the detections and the objects of a dataset."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.metrics.calibration import Calibration, calibration
from detection.metrics.coco_ap import coco_ap_of_tables
from detection.metrics.confusion import confusion_matrix
from detection.metrics.errors import ErrorKind, cost_of_errors, find_errors
from detection.metrics.operating_point import (
    ImageCounts,
    OperatingPoint,
    SizeRecall,
    best_f1,
    count_by_image,
    pooled_curve,
    recall_by_size,
)
from detection.metrics.tables import IntArray, make_tables
from detection.metrics.voc_ap import VOCResult, judge, voc_ap
from detection.types import Detections, Target

SIZE_EDGES = np.array([16.0, 32.0, 64.0, 96.0, 128.0, 256.0])
"""Pixels; COCO's borders between small, medium and large, 32 and 96, are among them."""


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
    """``(C + 1, C + 1)``, see ``confusion_matrix``."""
    calibration: Calibration
    error_counts: dict[ErrorKind, int]
    """Errors at or above the threshold."""
    error_costs: dict[ErrorKind, float]
    """What each kind costs in mAP (area), over detections of all scores."""
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
        with_coco: Compute COCO's average precision too, which needs ``faster-coco-eval``.

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
        confusion=confusion_matrix(found, existing, num_classes, threshold),
        calibration=calibration(found.scores[counted], verdicts.true_positive[counted]),
        error_counts=find_errors(above, existing, num_classes).counts(),
        error_costs=cost_of_errors(found, existing, num_classes),
        sizes=recall_by_size(found, existing, verdicts, SIZE_EDGES, threshold),
        images=count_by_image(found, existing, verdicts, len(targets), threshold),
    )
