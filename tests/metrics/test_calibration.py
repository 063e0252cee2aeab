"""Calibration against values worked out by hand and a plain loop."""

import numpy as np
import pytest

from detection.metrics.calibration import calibration


def test_hand_computed() -> None:
    """Two of three detections around 0.8 are true positives, none of the two around 0.3."""
    scores = np.array([0.8, 0.85, 0.84, 0.3, 0.32])
    result = calibration(scores, np.array([True, True, False, False, False]))
    assert result.counts.tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 3, 0]
    assert result.mean_scores[8] == pytest.approx(0.83)
    assert result.precision[8] == pytest.approx(2 / 3)
    assert result.precision[3] == 0.0
    assert np.isnan(result.precision[0])
    assert result.ece == pytest.approx((3 * (0.83 - 2 / 3) + 2 * 0.31) / 5)


def test_scores_on_edges_belong_to_the_upper_bin() -> None:
    result = calibration(np.array([0.0, 0.3, 0.7, 1.0]), np.ones(4, dtype=bool))
    assert result.counts.tolist() == [1, 0, 0, 1, 0, 0, 0, 1, 0, 1]


def test_honest_scores_have_no_error() -> None:
    scores = np.repeat([0.25, 0.75], 4)
    true_positive = np.array([True, False, False, False, True, True, True, False])
    assert calibration(scores, true_positive).ece == pytest.approx(0.0)


def test_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    scores, true_positive = rng.random(500), rng.random(500) < 0.4
    gap = 0.0
    for number in range(10):
        inside = [i for i in range(500) if number / 10 <= scores[i] < (number + 1) / 10]
        gap += abs(sum(true_positive[i] for i in inside) - sum(scores[i] for i in inside)) / 500
    assert calibration(scores, true_positive).ece == pytest.approx(gap)


def test_nothing_found_is_undefined() -> None:
    result = calibration(np.zeros(0), np.zeros(0, dtype=bool))
    assert np.isnan(result.ece)
    assert result.counts.sum() == 0


def test_scores_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores must be in \[0, 1\], got -1.0 to 2.0"):
        calibration(np.array([-1.0, 2.0]), np.zeros(2, dtype=bool))
