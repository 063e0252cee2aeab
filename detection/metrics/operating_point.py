"""What a detector does at one score threshold: precision, recall and F1; what it finds by size and image."""

from typing import NamedTuple

import numpy as np

from detection.metrics.tables import BoolArray, DetectionTable, FloatArray, GroundTruthTable, IntArray
from detection.metrics.voc_ap import PrecisionRecall, Verdicts


class OperatingPoint(NamedTuple):
    """One point of a precision-recall curve; all nan where there is nothing to find or nothing was found."""

    threshold: float
    precision: float
    recall: float
    f1: float


class SizeRecall(NamedTuple):
    """Objects by size, and how many were found; ``S`` sizes."""

    num_gt: IntArray
    """``(S,)``: objects that are not difficult."""
    found: IntArray
    """``(S,)``: those with a detection, whatever its score."""
    found_above: IntArray
    """``(S,)``: those with a detection at or above the threshold."""


class ImageCounts(NamedTuple):
    """Hits and errors in each of ``I`` images at one score threshold."""

    true_positives: IntArray
    """``(I,)``."""
    false_positives: IntArray
    """``(I,)``."""
    missed: IntArray
    """``(I,)``: objects without a true positive; difficult ones do not count."""

    @property
    def f1(self) -> FloatArray:
        """``(I,)``: 1 where there was nothing to find and nothing was found."""
        errors = self.false_positives + self.missed
        total = 2 * self.true_positives + errors
        return np.where(total > 0, 2 * self.true_positives / np.maximum(total, 1), 1.0)


def best_f1(curve: PrecisionRecall) -> OperatingPoint:
    """Find the score threshold with the best F1 (harmonic mean of precision and recall).

    Args:
        curve: Of one class, or of all together.
    """
    # Equal scores are above the same threshold: only the last of them is a point that a threshold can reach.
    reachable = np.flatnonzero(np.append(curve.scores[1:] != curve.scores[:-1], True)[: len(curve.scores)])
    precision, recall = curve.precision[reachable], curve.recall[reachable]
    if not len(reachable) or np.isnan(recall).any():
        return OperatingPoint(*[float("nan")] * 4)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(np.argmax(f1))
    threshold = float(curve.scores[reachable[best]])
    return OperatingPoint(threshold, float(precision[best]), float(recall[best]), float(f1[best]))


def pooled_curve(detections: DetectionTable, verdicts: Verdicts, num_gt: int) -> PrecisionRecall:
    """Accumulate precision and recall over the detections of all classes together.

    Args:
        detections: All detections.
        verdicts: What they were worth.
        num_gt: Objects to find.
    """
    counted = np.flatnonzero(~verdicts.ignored)
    rows = counted[np.argsort(-detections.scores[counted], kind="stable")]
    true_positives = np.cumsum(verdicts.true_positive[rows])
    recall = true_positives / num_gt if num_gt else np.full(len(rows), np.nan)
    return PrecisionRecall(true_positives / np.arange(1, len(rows) + 1), recall, detections.scores[rows])


def recall_by_size(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    verdicts: Verdicts,
    edges: FloatArray,
    threshold: float,
) -> SizeRecall:
    """Count objects by size, the square root of a box's area.

    Args:
        detections: All detections.
        ground_truth: The objects.
        verdicts: What the detections were worth.
        edges: ``(S - 1,)`` ascending sizes in pixels; an object of just that size belongs to the larger ones.
        threshold: Score threshold of ``found_above``.
    """
    sides = ground_truth.boxes[:, 2:].astype(np.float64) - ground_truth.boxes[:, :2]
    bins = np.digitize(np.sqrt(sides.prod(axis=1)), edges)

    def count(mask: BoolArray) -> IntArray:
        return np.bincount(bins[mask & ~ground_truth.difficult], minlength=len(edges) + 1)

    found, found_above = np.zeros((2, len(bins)), dtype=bool)
    found[verdicts.gt[verdicts.true_positive]] = True
    found_above[verdicts.gt[verdicts.true_positive & (detections.scores >= threshold)]] = True
    return SizeRecall(count(np.ones(len(bins), dtype=bool)), count(found), count(found_above))


def count_by_image(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    verdicts: Verdicts,
    num_images: int,
    threshold: float,
) -> ImageCounts:
    """Count true positives, false positives and missed objects in each image.

    Args:
        detections: All detections, of images ``0..I-1``.
        ground_truth: The objects.
        verdicts: What the detections were worth.
        num_images: ``I``.
        threshold: Detections below this score do not count.
    """
    above = detections.scores >= threshold

    def count(images: IntArray) -> IntArray:
        return np.bincount(images, minlength=num_images)

    true_positives = count(detections.images[above & verdicts.true_positive])
    false_positives = count(detections.images[above & ~verdicts.true_positive & ~verdicts.ignored])
    return ImageCounts(
        true_positives, false_positives, count(ground_truth.images[~ground_truth.difficult]) - true_positives
    )
