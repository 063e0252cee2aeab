"""The confusion matrix against a plain loop and cases worked out by hand."""

import numpy as np
import pytest

from detection.metrics.confusion import confused_pairs
from detection.metrics.tables import DetectionTable, GroundTruthTable, paired_iou

A, B, FAR = (0.0, 0.0, 9.0, 9.0), (40.0, 0.0, 49.0, 9.0), (80.0, 80.0, 89.0, 89.0)
Box = tuple[float, float, float, float]


def detections(*rows: tuple[int, int, float, Box]) -> DetectionTable:
    images, labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return DetectionTable(
        np.array(images, dtype=np.int64),
        np.array(labels, dtype=np.int64),
        np.array(scores, dtype=np.float32),
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
    )


def objects(*rows: tuple[int, int, Box, bool]) -> GroundTruthTable:
    images, labels, boxes, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return GroundTruthTable(
        np.array(images, dtype=np.int64), np.array(labels, dtype=np.int64),
        np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(difficult, dtype=bool),
    )  # fmt: skip


def naive(dets: DetectionTable, gts: GroundTruthTable, num_classes: int, threshold: float) -> np.ndarray:
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=int)
    free = [True] * len(gts.labels)
    order = sorted(range(len(dets.labels)), key=lambda row: -dets.scores[row])
    for row in order:
        if dets.scores[row] < threshold:
            continue
        best, best_gt = 0.0, None
        for gt in range(len(gts.labels)):
            if free[gt] and gts.images[gt] == dets.images[row]:
                iou = float(paired_iou(dets.boxes[row : row + 1], gts.boxes[gt : gt + 1])[0])
                if iou >= 0.5 and iou > best:
                    best, best_gt = iou, gt
        if best_gt is None:
            matrix[num_classes, dets.labels[row]] += 1
        else:
            free[best_gt] = False
            if not gts.difficult[best_gt]:
                matrix[gts.labels[best_gt], dets.labels[row]] += 1
    for gt, is_free in enumerate(free):
        if is_free and not gts.difficult[gt]:
            matrix[gts.labels[gt], num_classes] += 1
    return matrix


def test_hits_confusions_false_positives_and_misses_have_their_cells() -> None:
    dets = detections((0, 0, 0.9, A), (0, 0, 0.8, B), (0, 1, 0.7, FAR), (1, 1, 0.2, A))
    gts = objects((0, 0, A, False), (0, 1, B, False), (1, 1, A, False))
    expected = [
        [1, 0, 0],  # class 0 found
        [1, 0, 1],  # class 1: one taken for 0, one missed, as its detection has too low a score
        [0, 1, 0],  # one false positive as class 1
    ]
    np.testing.assert_array_equal(confused_pairs(dets, gts, 2, 0.5).matrix(2), expected)


def test_an_object_is_taken_once_by_the_best_score() -> None:
    dets = detections((0, 1, 0.6, A), (0, 0, 0.9, A))
    np.testing.assert_array_equal(
        confused_pairs(dets, objects((0, 0, A, False)), 2, 0.5).matrix(2), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    )


def test_difficult_objects_count_neither_found_nor_missed() -> None:
    gts = objects((0, 0, A, True), (0, 0, B, True))
    assert confused_pairs(detections((0, 1, 0.9, A)), gts, 2, 0.5).matrix(2).sum() == 0


def test_equals_a_loop_on_random_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(120):
        num_dets, num_gts = int(rng.integers(0, 15)), int(rng.integers(0, 10))
        corner, gt_corner = rng.integers(0, 5, (num_dets, 2)), rng.integers(0, 5, (num_gts, 2))
        dets = DetectionTable(
            rng.integers(0, 3, num_dets),
            rng.integers(0, 3, num_dets),
            (rng.integers(0, 6, num_dets) / 5).astype(np.float32),
            np.concatenate([corner, corner + rng.integers(3, 7, (num_dets, 2))], axis=1),
        )
        gts = GroundTruthTable(
            rng.integers(0, 3, num_gts),
            rng.integers(0, 3, num_gts),
            np.concatenate([gt_corner, gt_corner + rng.integers(3, 7, (num_gts, 2))], axis=1),
            rng.random(num_gts) < 0.3,
        )
        result = confused_pairs(dets, gts, 3, 0.4).matrix(3)
        np.testing.assert_array_equal(result, naive(dets, gts, 3, 0.4))


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_without_anything_the_matrix_is_empty(threshold: float) -> None:
    np.testing.assert_array_equal(
        confused_pairs(detections(), objects(), 2, threshold).matrix(2), np.zeros((3, 3))
    )
