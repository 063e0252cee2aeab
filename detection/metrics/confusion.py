"""Which classes are taken for which."""

from typing import NamedTuple

import numpy as np

from detection.metrics.tables import DetectionTable, GroundTruthTable, IntArray, paired_iou


class Pairs(NamedTuple):
    """What was taken for what, ``P`` times; class ``C`` is background, or missed."""

    images: IntArray
    """``(P,)`` in which image."""
    true: IntArray
    """``(P,)`` class of the object; ``C`` where there was none."""
    detected: IntArray
    """``(P,)`` class of the detection; ``C`` where there was none."""

    def matrix(self, num_classes: int) -> IntArray:
        """Count by true class (rows) and detected class (columns): ``(C + 1, C + 1)``.

        The last row is background, i.e. false positives where nothing was left to find; the last column is
        missed objects.
        """
        matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
        np.add.at(matrix, (self.true, self.detected), 1)
        return matrix


def confused_pairs(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    num_classes: int,
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> Pairs:
    """Find out which class objects were detected as.

    Detections take objects from the best score down, each the one it overlaps most among those still
    free, of whatever class. A detection that took a difficult object does not count, nor does a difficult
    object that none took.

    Args:
        detections: What was found in all images; equal scores take in row order.
        ground_truth: What there was to find.
        num_classes: ``C``.
        score_threshold: Detections below this score do not count.
        iou_threshold: A detection may take an object from this overlap on.
    """
    rows = np.flatnonzero(detections.scores >= score_threshold)
    found = detections.take(rows[np.argsort(-detections.scores[rows], kind="stable")])
    gt = ground_truth.take(np.argsort(ground_truth.images, kind="stable"))
    start = np.searchsorted(gt.images, found.images, side="left")
    end = np.searchsorted(gt.images, found.images, side="right")
    free = np.ones(len(gt.labels), dtype=bool)
    true = np.full(len(found.labels), num_classes)
    counts = np.ones(len(found.labels), dtype=bool)
    for row in range(len(found.labels)):
        candidates = np.arange(start[row], end[row])
        candidates = candidates[free[candidates]]
        box = found.boxes[row : row + 1].repeat(len(candidates), axis=0)
        iou = paired_iou(box, gt.boxes[candidates])
        if iou.max(initial=0) >= iou_threshold:
            taken = candidates[np.argmax(iou)]
            free[taken] = False
            true[row], counts[row] = gt.labels[taken], not gt.difficult[taken]
    missed = free & ~gt.difficult
    return Pairs(
        np.concatenate([found.images[counts], gt.images[missed]]),
        np.concatenate([true[counts], gt.labels[missed]]),
        np.concatenate([found.labels[counts], np.full(int(missed.sum()), num_classes)]),
    )
