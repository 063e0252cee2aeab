"""Precision, recall and F1 at a threshold: cases worked out by hand."""

import numpy as np
import pytest

from detection.metrics.operating_point import best_f1, count_by_image, pooled_curve, recall_by_size
from detection.metrics.tables import DetectionTable, GroundTruthTable
from detection.metrics.voc_ap import PrecisionRecall, judge, voc_ap

# Two images: objects of 10 px found at 0.9, of 40 px found at 0.4, of 100 px never found, and one difficult.
OBJECTS = GroundTruthTable(
    np.array([0, 0, 1, 1]),
    np.array([0, 1, 0, 0]),
    np.array([[0, 0, 10, 10], [50, 0, 90, 40], [0, 0, 100, 100], [200, 0, 240, 40]], dtype=np.float32),
    np.array([False, False, False, True]),
)
FOUND = DetectionTable(
    np.array([0, 0, 0, 1, 1]),
    np.array([0, 1, 0, 0, 0]),
    np.array([0.9, 0.4, 0.6, 0.8, 0.7], dtype=np.float32),
    np.array(
        [[0, 0, 10, 10], [50, 0, 90, 40], [300, 0, 310, 10], [200, 0, 240, 40], [400, 0, 420, 20]],
        dtype=np.float32,
    ),
)


def test_the_best_threshold() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    curve = PrecisionRecall(
        np.array([1, 1 / 2, 2 / 3, 2 / 4]), np.array([1 / 3, 1 / 3, 2 / 3, 2 / 3]), scores
    )
    point = best_f1(curve)
    assert point.threshold == 0.7
    assert point.f1 == pytest.approx(2 / 3)


def test_a_threshold_cannot_part_equal_scores() -> None:
    """Taking one of the two at 0.5 would be perfect; a threshold takes both or none."""
    curve = PrecisionRecall(np.array([1.0, 0.5]), np.array([1.0, 1.0]), np.array([0.5, 0.5]))
    assert best_f1(curve).f1 == pytest.approx(2 / 3)


def test_without_objects_or_detections_there_is_no_best_threshold() -> None:
    nothing = PrecisionRecall(np.zeros(0), np.zeros(0), np.zeros(0))
    no_objects = PrecisionRecall(np.zeros(1), np.array([np.nan]), np.array([0.5]))
    for curve in (nothing, no_objects):
        assert all(np.isnan(value) for value in best_f1(curve))


def test_the_pooled_curve_counts_all_classes_and_leaves_difficult_objects_out() -> None:
    curve = pooled_curve(FOUND, judge(FOUND, OBJECTS), num_gt=3)
    np.testing.assert_allclose(curve.scores, np.array([0.9, 0.7, 0.6, 0.4], dtype=np.float32))
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 1 / 3, 2 / 4])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 1 / 3, 2 / 3])


def test_the_pooled_curve_of_one_class_is_its_own() -> None:
    one = FOUND._replace(labels=np.zeros(5, dtype=np.int64))
    objects = OBJECTS._replace(labels=np.zeros(4, dtype=np.int64))
    (own,) = voc_ap(one, objects, 1).curves
    for ours, expected in zip(pooled_curve(one, judge(one, objects), 3), own, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_recall_by_size() -> None:
    edges = np.array([10.0, 40.5])
    sizes = recall_by_size(FOUND, OBJECTS, judge(FOUND, OBJECTS), edges, threshold=0.5)
    # A side of exactly 10 pixels is in the middle.
    assert sizes.num_gt.tolist() == [0, 2, 1]
    assert sizes.found.tolist() == [0, 2, 0]
    assert sizes.found_above.tolist() == [0, 1, 0]


def test_counts_by_image() -> None:
    counts = count_by_image(FOUND, OBJECTS, judge(FOUND, OBJECTS), num_images=3, threshold=0.5)
    assert counts.true_positives.tolist() == [1, 0, 0]
    assert counts.false_positives.tolist() == [1, 1, 0]
    assert counts.missed.tolist() == [1, 1, 0]
    np.testing.assert_allclose(counts.f1, [0.5, 0.0, 1.0])
