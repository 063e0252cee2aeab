"""Which classes are taken for which."""

import numpy as np

from detection.metrics.tables import DetectionTable, GroundTruthTable, IntArray, paired_iou


def confusion_matrix(
    detections: DetectionTable,
    ground_truth: GroundTruthTable,
    num_classes: int,
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> IntArray:
    """Count which class objects were detected as.

    Detections take objects from the best score down, each the one it overlaps most among those still
    free, of whatever class. A detection that took a difficult object does not count, nor does a difficult
    object that none took.

    Args:
        detections: What was found in all images; equal scores take in row order.
        ground_truth: What there was to find.
        num_classes: ``C``.
        score_threshold: Detections below this score do not count.
        iou_threshold: A detection may take an object from this overlap on.

    Returns:
        ``(C + 1, C + 1)`` counts by true class (rows) and detected class (columns). The last row is
        background, i.e. false positives where nothing was left to find; the last column is missed objects.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    found = detections.take(np.flatnonzero(detections.scores >= score_threshold))
    found = found.take(np.argsort(-found.scores, kind="stable"))
    gt = ground_truth.take(np.argsort(ground_truth.images, kind="stable"))
    start = np.searchsorted(gt.images, found.images, side="left")
    end = np.searchsorted(gt.images, found.images, side="right")
    free = np.ones(len(gt.labels), dtype=bool)
    for row in range(len(found.labels)):
        candidates = np.arange(start[row], end[row])
        candidates = candidates[free[candidates]]
        box = found.boxes[row : row + 1].repeat(len(candidates), axis=0)
        iou = paired_iou(box, gt.boxes[candidates])
        if iou.max(initial=0) < iou_threshold:
            matrix[num_classes, found.labels[row]] += 1
            continue
        taken = candidates[np.argmax(iou)]
        free[taken] = False
        if not gt.difficult[taken]:
            matrix[gt.labels[taken], found.labels[row]] += 1
    matrix[:num_classes, num_classes] = np.bincount(gt.labels[free & ~gt.difficult], minlength=num_classes)
    return matrix
