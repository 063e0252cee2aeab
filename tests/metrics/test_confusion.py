"""The confusion matrix against a plain loop and cases worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from detection.metrics.confusion import confused_pairs
from detection.metrics.tables import DetectionTable, GroundTruthTable, paired_iou
from detection.metrics.voc_ap import judge

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
    free = [not difficult for difficult in gts.difficult]
    order = sorted(np.flatnonzero(dets.scores >= threshold).tolist(), key=lambda row: -dets.scores[row])

    def best(row: int, wanted: Callable[[int], bool]) -> int | None:
        candidates = [
            gt for gt in range(len(gts.labels)) if gts.images[gt] == dets.images[row] and wanted(gt)
        ]
        ious = [float(paired_iou(dets.boxes[[row]], gts.boxes[[gt]])[0]) for gt in candidates]
        return candidates[int(np.argmax(ious))] if max(ious, default=0.0) >= 0.5 else None

    left = []
    for row in order:  # as the devkit of VOC does
        gt = best(row, lambda gt, row=row: gts.labels[gt] == dets.labels[row])  # type: ignore[misc]
        if gt is None or (not free[gt] and not gts.difficult[gt]):
            left.append(row)
        elif free[gt]:
            free[gt] = False
            matrix[gts.labels[gt], gts.labels[gt]] += 1
    for row in left:
        gt = best(row, lambda gt, row=row: free[gt] and gts.labels[gt] != dets.labels[row])  # type: ignore[misc]
        matrix[num_classes if gt is None else gts.labels[gt], dets.labels[row]] += 1
        if gt is not None:
            free[gt] = False
    for gt, is_free in enumerate(free):
        matrix[gts.labels[gt], num_classes] += is_free
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


@pytest.mark.parametrize("wrong", [0.6, 0.95])
def test_a_true_positive_has_its_object_whatever_the_score_of_another_class(wrong: float) -> None:
    dets = detections((0, 1, wrong, A), (0, 0, 0.9, A))
    np.testing.assert_array_equal(
        confused_pairs(dets, objects((0, 0, A, False)), 2, 0.5).matrix(2), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    )


def test_difficult_objects_count_neither_found_nor_missed() -> None:
    gts = objects((0, 0, A, True), (0, 0, B, True))
    assert confused_pairs(detections((0, 0, 0.9, A)), gts, 2, 0.5).matrix(2).sum() == 0
    of_another_class = confused_pairs(detections((0, 1, 0.9, A)), gts, 2, 0.5).matrix(2)
    np.testing.assert_array_equal(of_another_class, [[0, 0, 0], [0, 0, 0], [0, 1, 0]])


def test_columns_have_the_detections_that_average_precision_counts() -> None:
    rng = np.random.default_rng(1)
    corner, gt_corner = rng.integers(0, 12, (200, 2)), rng.integers(0, 12, (60, 2))
    dets = DetectionTable(
        rng.integers(0, 9, 200), rng.integers(0, 3, 200), rng.random(200).astype(np.float32),
        np.concatenate([corner, corner + rng.integers(3, 7, (200, 2))], axis=1),
    )  # fmt: skip
    gts = GroundTruthTable(
        rng.integers(0, 9, 60), rng.integers(0, 3, 60),
        np.concatenate([gt_corner, gt_corner + rng.integers(3, 7, (60, 2))], axis=1), rng.random(60) < 0.2,
    )  # fmt: skip
    matrix, verdicts = confused_pairs(dets, gts, 3, 0.0).matrix(3), judge(dets, gts)
    assert matrix[:3, :3].diagonal().sum() == verdicts.true_positive.sum() > 5
    for label in range(3):
        assert matrix[:, label].sum() == (~verdicts.ignored & (dets.labels == label)).sum()
        assert matrix[label].sum() == (~gts.difficult & (gts.labels == label)).sum()


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
