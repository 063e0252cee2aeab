"""Which classes are taken for which."""

from typing import NamedTuple

import numpy as np

from detection.metrics.tables import DetectionTable, GroundTruthTable, IntArray, paired_iou
from detection.metrics.voc_ap import judge


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

        The last row is background, i.e. false positives where nothing was left to take; the last column is
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

    True positives are those of ``voc_ap``. Every other detection, from the best score down, takes the object
    of another class that it overlaps most among those that nothing has found or taken. So a column has all
    true and false positives of its class, and a row all of its objects. Detections of difficult objects of
    their class do not count, nor do difficult objects.

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
    verdicts = judge(found, gt, iou_threshold)
    free = ~gt.difficult
    free[verdicts.gt[verdicts.true_positive]] = False
    true = np.where(verdicts.true_positive, found.labels, num_classes)
    for row in np.flatnonzero(~verdicts.true_positive & ~verdicts.ignored):
        candidates = np.arange(start[row], end[row])
        candidates = candidates[free[candidates] & (gt.labels[candidates] != found.labels[row])]
        box = found.boxes[row : row + 1].repeat(len(candidates), axis=0)
        iou = paired_iou(box, gt.boxes[candidates])
        if iou.max(initial=0) >= iou_threshold:
            taken = candidates[np.argmax(iou)]
            free[taken], true[row] = False, gt.labels[taken]
    counts = ~verdicts.ignored
    return Pairs(
        np.concatenate([found.images[counts], gt.images[free]]),
        np.concatenate([true[counts], gt.labels[free]]),
        np.concatenate([found.labels[counts], np.full(int(free.sum()), num_classes)]),
    )
