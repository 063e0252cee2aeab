"""The figures of an evaluation agree with one another."""

import numpy as np
import pytest
import torch

from detection.metrics.analysis import analyse
from detection.types import Detections, Target


def evaluation() -> tuple[list[Detections], list[Target]]:
    """One object in each of three images: found at 0.9; at 0.4, with a false positive at 0.6; not found."""
    box, elsewhere = [10.0, 10, 49, 49], [60.0, 60, 89, 89]
    found = [([box], [0.9]), ([elsewhere, box], [0.6, 0.4]), ([], [])]
    detections = [
        Detections(
            boxes=torch.tensor(boxes).reshape(-1, 4),
            scores=torch.tensor(scores),
            labels=torch.zeros(len(scores), dtype=torch.int64),
        )
        for boxes, scores in found
    ]
    target = Target(
        boxes=torch.tensor([box]),
        labels=torch.tensor([0]),
        difficult=torch.tensor([False]),
        image_id="",
        size=(100, 100),
    )
    return detections, [target] * 3


def test_everything_at_the_best_threshold() -> None:
    """F1 at 0.9 is 1/2, at 0.6 it is 2/5, at 0.4 it is 2/3."""
    analysis = analyse(*evaluation(), num_classes=2)
    assert analysis.threshold == pytest.approx(0.4)
    assert analysis.point.f1 == pytest.approx(2 / 3)
    assert analysis.points[0] == analysis.point, "all objects are of one class"
    assert np.isnan(analysis.points[1].f1)
    assert analysis.images.true_positives.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(analysis.confusion, [[2, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert analysis.error_counts["background"] == analysis.error_counts["missed"] == 1
    assert analysis.num_detections.tolist() == [3, 0]
    assert analysis.voc.map_area == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    # Without the false positive: two of three found, at full precision.
    assert analysis.error_costs["background"] == pytest.approx(1 / 9)
    assert analysis.coco is not None
    assert analysis.coco["map_50"] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)


def test_a_given_threshold_is_used() -> None:
    analysis = analyse(*evaluation(), num_classes=2, threshold=0.7, with_coco=False)
    assert analysis.threshold == 0.7
    assert analysis.images.true_positives.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(analysis.confusion, [[1, 0, 2], [0, 0, 0], [0, 0, 0]])
    assert analysis.error_counts["background"] == 0
    assert analysis.coco is None
    assert analysis.point.threshold == pytest.approx(0.4), "the best one is told all the same"
