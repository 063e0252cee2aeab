"""Kinds of error and their costs: cases worked out by hand, and the remedies carried out on the tables."""

import numpy as np
import pytest

from detection.metrics.errors import DETECTION_KINDS, ERROR_KINDS, ErrorKind, cost_of_errors, find_errors
from detection.metrics.tables import DetectionTable, GroundTruthTable, paired_iou
from detection.metrics.voc_ap import judge, voc_ap

Box = tuple[float, float, float, float]
A, A_SHIFTED = (0.0, 0.0, 9.0, 9.0), (6.0, 0.0, 15.0, 9.0)  # IoU 40 / 160
B, FAR = (40.0, 0.0, 49.0, 9.0), (200.0, 0.0, 209.0, 9.0)


def detections(*rows: tuple[int, float, Box]) -> DetectionTable:
    return DetectionTable(
        np.zeros(len(rows), dtype=np.int64),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float32),
        np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
    )


def objects(*rows: tuple[int, Box, bool]) -> GroundTruthTable:
    return GroundTruthTable(
        np.zeros(len(rows), dtype=np.int64),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[2] for row in rows], dtype=bool),
    )


def kinds(dets: DetectionTable, gts: GroundTruthTable) -> list[str]:
    found = find_errors(dets, gts, 2).kinds
    return ["right" if kind < 0 else DETECTION_KINDS[kind] for kind in found]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((0, 0.5, A), "duplicate"),
        ((0, 0.95, A), "right"),
        ((0, 0.5, A_SHIFTED), "localisation"),
        ((1, 0.5, A), "confusion"),
        ((1, 0.5, A_SHIFTED), "both"),
        ((0, 0.5, FAR), "background"),
        ((0, 0.5, B), "right"),  # of a difficult object
    ],
)
def test_each_kind(row: tuple[int, float, Box], kind: str) -> None:
    gts = objects((0, A, False), (0, B, True))
    assert kinds(detections((0, 0.9, A), row), gts)[1] == kind


def test_an_object_is_missed_only_if_nothing_was_after_it() -> None:
    gts = objects((0, A, False), (0, B, False), (1, FAR, False), (1, (300.0, 0.0, 309.0, 9.0), True))
    found = find_errors(detections((0, 0.9, A_SHIFTED), (1, 0.8, B)), gts, 2)
    assert found.gt.tolist() == [0, 1]
    assert found.missed.tolist() == [False, False, True, False]
    assert found.counts() == {
        "localisation": 1, "confusion": 1, "both": 0, "duplicate": 0, "background": 0, "missed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "kind", "gain"),
    [
        # One class with one object, found second: AP 1/2 becomes 1 when the first is gone.
        ([(0, 0.9, FAR), (0, 0.8, A)], "background", 0.5),
        # The object is the best-scored detection's once its box is right.
        ([(0, 0.9, A_SHIFTED)], "localisation", 1.0),
        # Found already: the corrected box disappears.
        ([(0, 0.9, A_SHIFTED), (0, 0.8, A)], "localisation", 0.5),
        ([(1, 0.9, A)], "confusion", 1.0),
        ([(1, 0.9, A_SHIFTED), (0, 0.8, A)], "both", 0.0),  # class 1 has nothing to find
        # A duplicate behind the last hit costs nothing.
        ([(0, 0.9, A), (0, 0.8, A)], "duplicate", 0.0),
        ([], "missed", 1.0),
    ],
)
def test_hand_computed_costs(rows: list[tuple[int, float, Box]], kind: ErrorKind, gain: float) -> None:
    costs = cost_of_errors(detections(*rows), objects((0, A, False)), 2)
    assert costs[kind] == pytest.approx(gain)


def test_missed_objects_are_not_asked_for() -> None:
    """One of two objects is found: AP 1/2. Without the missed one it is 1."""
    gts = objects((0, A, False), (0, B, False))
    costs = cost_of_errors(detections((0, 0.9, A)), gts, 1)
    assert costs["missed"] == pytest.approx(0.5)
    assert all(costs[kind] == 0 for kind in DETECTION_KINDS)


def random_case(rng: np.random.Generator) -> tuple[DetectionTable, GroundTruthTable]:
    num_gts, num_dets = int(rng.integers(1, 10)), int(rng.integers(1, 20))
    corner = rng.integers(0, 60, (num_gts, 2))
    boxes = np.concatenate([corner, corner + rng.integers(8, 20, (num_gts, 2))], axis=1)
    gts = GroundTruthTable(
        rng.integers(0, 3, num_gts), rng.integers(0, 2, num_gts), boxes, rng.random(num_gts) < 0.2
    )
    copied = rng.integers(0, num_gts, num_dets)
    labels = np.where(rng.random(num_dets) < 0.7, gts.labels[copied], rng.integers(0, 2, num_dets))
    jitter = rng.integers(-6, 7, (num_dets, 2)).repeat(2, axis=0).reshape(num_dets, 4)[:, [0, 1, 0, 1]]
    scores = rng.permutation(num_dets) / num_dets
    return DetectionTable(gts.images[copied], labels, scores, boxes[copied] + jitter), gts


def naive_kind(row: int, dets: DetectionTable, gts: GroundTruthTable) -> str:
    overlaps = [
        (
            float(paired_iou(dets.boxes[row : row + 1], gts.boxes[gt : gt + 1])[0]),
            gts.labels[gt] == dets.labels[row],
        )
        for gt in range(len(gts.labels))
        if gts.images[gt] == dets.images[row]
    ]
    same = max((iou for iou, is_same in overlaps if is_same), default=0.0)
    other = max((iou for iou, is_same in overlaps if not is_same), default=0.0)
    if 0.1 <= same < 0.5:
        return "localisation"
    if other >= 0.5:
        return "confusion"
    if same >= 0.5:
        return "duplicate"
    return "both" if other >= 0.1 else "background"


def test_kinds_equal_a_loop_on_random_cases() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(120):
        dets, gts = random_case(rng)
        verdicts = judge(dets, gts)
        ours = kinds(dets, gts)
        for row, kind in enumerate(ours):
            right = verdicts.true_positive[row] or verdicts.ignored[row]
            assert kind == ("right" if right else naive_kind(row, dets, gts))
        seen |= set(ours)
    assert seen == {*DETECTION_KINDS, "right"}


@pytest.mark.parametrize("kind", ["both", "duplicate", "background"])
def test_removing_the_rows_gives_the_cost(kind: ErrorKind) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        dets, gts = random_case(rng)
        if gts.difficult.all():
            continue
        kept = find_errors(dets, gts, 2).kinds != ERROR_KINDS.index(kind)
        gain = voc_ap(dets.take(kept), gts, 2).map_area - voc_ap(dets, gts, 2).map_area
        assert cost_of_errors(dets, gts, 2)[kind] == pytest.approx(gain)


def test_putting_boxes_and_classes_right_gives_the_cost() -> None:
    """The remedy carried out on the tables: the best-scored error of a free object becomes a copy of it."""
    rng = np.random.default_rng(2)
    for _ in range(80):
        dets, gts = random_case(rng)
        if gts.difficult.all():
            continue
        errors, costs, verdicts = find_errors(dets, gts, 2), cost_of_errors(dets, gts, 2), judge(dets, gts)
        before = voc_ap(dets, gts, 2).map_area
        for index, kind in enumerate(DETECTION_KINDS[:2]):
            taken = set(verdicts.gt[verdicts.true_positive].tolist())
            labels, true_positive, kept = dets.labels.copy(), verdicts.true_positive.copy(), ~verdicts.ignored
            for row in np.argsort(-dets.scores):
                if errors.kinds[row] == index:
                    gt = int(errors.gt[row])
                    if gt in taken or gts.difficult[gt]:
                        kept[row] = False
                    else:
                        taken.add(gt)
                        labels[row], true_positive[row] = gts.labels[gt], True
            assert costs[kind] == pytest.approx(
                naive_map(labels, dets.scores, true_positive, kept, gts) - before
            )
            assert costs[kind] >= -1e-12


def naive_map(
    labels: np.ndarray, scores: np.ndarray, true_positive: np.ndarray, kept: np.ndarray, gts: GroundTruthTable
) -> float:
    areas = []
    for label in range(2):
        num_gt = int(np.count_nonzero((gts.labels == label) & ~gts.difficult))
        rows = sorted(np.flatnonzero(kept & (labels == label)), key=lambda row: -scores[row])
        true_positives = [bool(true_positive[row]) for row in rows]
        precision = [sum(true_positives[: i + 1]) / (i + 1) for i in range(len(true_positives))]
        if num_gt:
            areas.append(
                sum(max(precision[i:]) for i in range(len(true_positives)) if true_positives[i]) / num_gt
            )
    return float(np.mean(areas))


def test_nothing_to_find_has_no_cost() -> None:
    costs = cost_of_errors(detections((0, 0.5, A)), objects((0, A, True)), 2)
    assert all(np.isnan(cost) for cost in costs.values())


def test_labels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes is 1"):
        find_errors(detections((1, 0.5, A)), objects(), 1)


def test_what_has_no_error_costs_nothing() -> None:
    """Not a hair: before and after are means of the same curves, added in another order."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        dets, gts = random_case(rng)
        found = kinds(dets, gts)
        for kind, cost in cost_of_errors(dets, gts, 2).items():
            assert cost == 0 or np.isnan(cost) or abs(cost) > 1e-9
            assert kind in found or kind == "missed" or cost == 0 or np.isnan(cost)
