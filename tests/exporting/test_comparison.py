"""Two lists of detections are compared as people would compare them."""

import torch

from detection.exporting.comparison import Thresholds, compare
from detection.exporting.verification import Result, agree
from detection.types import Detections

DECIDES = Thresholds(score=0.1, nms=0.45, max_detections=4)


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """x1, y1, x2, y2, score, label."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detections(boxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].long())


ONE = (0.0, 0.0, 10.0, 10.0, 0.9, 0)
TWO = (50.0, 50.0, 90.0, 70.0, 0.5, 1)


def test_equal_lists() -> None:
    difference = compare(found(ONE, TWO), found(ONE, TWO), DECIDES)
    assert difference.tolerable
    assert (difference.count, difference.file_count) == (2, 2)
    assert (difference.box, difference.score, difference.borderline, difference.unexplained) == (0, 0, 0, 0)


def test_empty_lists() -> None:
    assert compare(found(), found(), DECIDES).tolerable
    assert not compare(found(ONE), found(), DECIDES).tolerable
    assert not compare(found(), found(ONE), DECIDES).tolerable


def test_nearly_equal_scores_may_change_places() -> None:
    twin = (50.0, 50.0, 90.0, 70.0, 0.9001, 1)
    difference = compare(found(twin, ONE), found(ONE, (*twin[:4], 0.8999, 1)), DECIDES)
    assert difference.tolerable
    assert abs(difference.score - 0.0002) < 1e-6


def test_the_largest_differences_are_measured() -> None:
    moved = (0.0, 0.0, 10.0, 10.3, 0.9, 0)
    difference = compare(found(ONE, TWO), found(moved, (*TWO[:4], 0.51, 1)), DECIDES)
    assert abs(difference.box - 0.3) < 1e-5
    assert abs(difference.score - 0.01) < 1e-5
    assert not difference.tolerable


def test_a_box_a_hair_off_is_tolerated_and_one_of_another_class_is_not() -> None:
    assert compare(found(ONE), found((0.0, 0.05, 10.0, 10.0, 0.9, 0)), DECIDES).tolerable
    assert compare(found(ONE), found((*ONE[:5], 1)), DECIDES).unexplained == 2


def test_a_detection_next_to_the_score_threshold_may_be_missing() -> None:
    faint = (50.0, 50.0, 90.0, 70.0, 0.1005, 1)
    difference = compare(found(ONE, faint), found(ONE), DECIDES)
    assert difference.tolerable
    assert difference.borderline == 1
    assert not compare(found(ONE, (*faint[:4], 0.2, 1)), found(ONE), DECIDES).tolerable


def test_the_last_of_a_full_list_may_be_another() -> None:
    rows = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0, 0.9 - 0.1 * i, 0) for i in range(4)]
    other = (20.0, 50.0, 30.0, 60.0, rows[3][4] + 1e-4, 0)
    difference = compare(found(*rows), found(*rows[:3], other), DECIDES)
    assert (difference.borderline, difference.unexplained) == (2, 0)
    assert compare(found(*rows[:3], rows[3]), found(*rows[:3]), DECIDES).borderline == 1
    assert compare(found(*rows[:3]), found(*rows[:2]), DECIDES).unexplained == 1


def test_an_overlap_next_to_the_threshold_of_suppression_may_be_decided_either_way() -> None:
    # 10 x 10 boxes that share 6.207 x 10: IoU 62.07 / 137.93 = 0.45001.
    neighbour = (3.793, 0.0, 13.793, 10.0, 0.8, 0)
    assert compare(found(ONE, neighbour), found(ONE), DECIDES).tolerable
    assert not compare(found(ONE, (5.0, 0.0, 15.0, 10.0, 0.8, 0)), found(ONE), DECIDES).tolerable


def test_borderline_cases_must_stay_few_over_all_images() -> None:
    faint = [(20.0 * i, 50.0, 20.0 * i + 10, 60.0, 0.1001, 0) for i in range(3)]
    doubtful, equal = (
        compare(found(ONE, *faint), found(ONE), DECIDES),
        compare(found(ONE), found(ONE), DECIDES),
    )
    assert (doubtful.borderline, doubtful.unexplained) == (3, 0)
    results = [Result("image", (20, 20), 1, difference, None) for difference in (doubtful, equal)]
    assert all(result.tolerable for result in results)
    assert not agree(results)
    assert agree([*results, *results[1:] * 10])
