"""VOC AP against the devkit's procedure written as plain loops, hand-computed values and invariances."""

from collections.abc import Iterable

import numpy as np
import pytest

from detection.metrics.tables import DetectionTable, GroundTruthTable
from detection.metrics.voc_ap import VOCResult, voc_ap

Row = tuple[int, int, float, tuple[float, float, float, float]]
GtRow = tuple[int, int, tuple[float, float, float, float], bool]


def detection_table(rows: list[Row]) -> DetectionTable:
    return DetectionTable(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float32),
        np.array([row[3] for row in rows], dtype=np.float32).reshape(-1, 4),
    )


def gt_table(rows: list[GtRow]) -> GroundTruthTable:
    return GroundTruthTable(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[3] for row in rows], dtype=bool),
    )


# --- the devkit's procedure, one detection at a time ----------------------------------------------------


def corners(box: Iterable[float]) -> list[float]:
    """As annotation and result files have them: the first and the last pixel, counted from 1."""
    x1, y1, x2, y2 = map(float, box)
    return [x1 + 1, y1 + 1, x2, y2]


def naive_overlap(box: list[float], gt: list[float]) -> float:
    width = min(box[2], gt[2]) - max(box[0], gt[0]) + 1
    height = min(box[3], gt[3]) - max(box[1], gt[1]) + 1
    if width <= 0 or height <= 0:
        return -1.0
    area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    gt_area = (gt[2] - gt[0] + 1) * (gt[3] - gt[1] + 1)
    return width * height / (area + gt_area - width * height)


def naive_ap(
    dets: DetectionTable, gts: GroundTruthTable, label: int, threshold: float
) -> tuple[float, float]:
    objects = [
        {"image": int(image), "box": corners(box), "difficult": bool(difficult), "found": False}
        for image, object_label, box, difficult in zip(*gts[:4], strict=True)
        if object_label == label
    ]
    num_positive = sum(not item["difficult"] for item in objects)
    if num_positive == 0:
        return float("nan"), float("nan")
    found = [
        (float(score), int(image), corners(box))
        for image, det_label, score, box in zip(*dets, strict=True)
        if det_label == label
    ]
    found.sort(key=lambda row: -row[0])
    true_positives = misses = 0
    precision, recall = [], []
    for _, image, box in found:
        best, best_overlap = None, float("-inf")
        for item in objects:
            if item["image"] == image:
                overlap = naive_overlap(box, item["box"])  # type: ignore[arg-type]
                if overlap > best_overlap:
                    best, best_overlap = item, overlap
        if best is not None and best_overlap >= threshold:
            if not best["difficult"]:
                if not best["found"]:
                    true_positives += 1
                    best["found"] = True
                else:
                    misses += 1
        else:
            misses += 1
        precision.append(true_positives / (true_positives + misses) if true_positives + misses else 0.0)
        recall.append(true_positives / num_positive)

    levels = [
        max([p for p, r in zip(precision, recall, strict=True) if r >= level], default=0.0)
        for level in np.arange(0.0, 1.1, 0.1)
    ]
    padded_precision, padded_recall = [0.0, *precision, 0.0], [0.0, *recall, 1.0]
    for i in range(len(padded_precision) - 2, -1, -1):
        padded_precision[i] = max(padded_precision[i], padded_precision[i + 1])
    strips = [
        (padded_recall[i] - padded_recall[i - 1]) * padded_precision[i]
        for i in range(1, len(padded_recall))
        if padded_recall[i] != padded_recall[i - 1]
    ]
    return float(np.mean(levels)), float(np.sum(strips))


def assert_equals_naive(
    dets: DetectionTable, gts: GroundTruthTable, num_classes: int, threshold: float = 0.5
) -> VOCResult:
    result = voc_ap(dets, gts, num_classes, threshold)
    expected = np.array([naive_ap(dets, gts, label, threshold) for label in range(num_classes)])
    np.testing.assert_array_equal(result.ap_07, expected[:, 0])
    np.testing.assert_array_equal(result.ap_area, expected[:, 1])
    for mean, per_class in ((result.map_07, expected[:, 0]), (result.map_area, expected[:, 1])):
        defined = per_class[~np.isnan(per_class)]
        np.testing.assert_equal(mean, defined.mean() if defined.size else float("nan"))
    return result


def random_boxes(rng: np.random.Generator, count: int, on_grid: bool) -> np.ndarray:
    """A few corners and sizes, so that overlaps tie and hit the threshold exactly; or any floats."""
    corner: np.ndarray
    size: np.ndarray
    if on_grid:
        corner, size = rng.integers(0, 4, (count, 2)) * 2, rng.integers(1, 5, (count, 2)) * 2
    else:
        corner, size = rng.uniform(0, 10, (count, 2)), rng.uniform(3, 10, (count, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def random_case(rng: np.random.Generator) -> tuple[DetectionTable, GroundTruthTable, int]:
    num_classes, num_images = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    num_gt, num_noise = int(rng.integers(0, 13)), int(rng.integers(0, 9))
    on_grid = bool(rng.random() < 0.5)
    gts = GroundTruthTable(
        rng.integers(0, num_images, num_gt),
        rng.integers(0, num_classes, num_gt),
        random_boxes(rng, num_gt, on_grid),
        rng.random(num_gt) < 0.3,
    )
    copied = rng.integers(0, num_gt, int(rng.integers(0, 16))) if num_gt else np.zeros(0, dtype=np.int64)
    jitter = rng.integers(-1, 2, (len(copied), 4)).astype(np.float32)
    images = np.concatenate([gts.images[copied], rng.integers(0, num_images, num_noise)])
    labels = np.concatenate([gts.labels[copied], rng.integers(0, num_classes, num_noise)])
    boxes = np.concatenate([gts.boxes[copied] + jitter, random_boxes(rng, num_noise, on_grid)])
    # A handful of different scores: ties within and across images.
    scores = (rng.integers(1, 6, len(images)) / 8).astype(np.float32)
    order = rng.permutation(len(images))
    return DetectionTable(images[order], labels[order], scores[order], boxes[order]), gts, num_classes


# --- tests ----------------------------------------------------------------------------------------------


def test_equals_naive_on_random_cases() -> None:
    rng = np.random.default_rng(0)
    classes = empty_classes = no_detections = 0
    for _ in range(4000):
        dets, gts, num_classes = random_case(rng)
        result = assert_equals_naive(dets, gts, num_classes)
        classes += num_classes
        empty_classes += int(np.isnan(result.ap_07).sum())
        no_detections += int(len(dets.labels) == 0)
    assert 0 < empty_classes < classes
    assert no_detections > 0


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.75, 1.0])
def test_equals_naive_at_other_thresholds(threshold: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        assert_equals_naive(*random_case(rng), threshold)


def test_equals_naive_on_a_larger_set() -> None:
    """Curves long enough for every recall level, with up to 10 objects of a class in an image."""
    rng = np.random.default_rng(2)
    num_gt, num_noise = 400, 300
    gts = GroundTruthTable(
        rng.integers(0, 40, num_gt),
        rng.integers(0, 3, num_gt),
        random_boxes(rng, num_gt, on_grid=False) * 4,
        rng.random(num_gt) < 0.2,
    )
    copied = rng.integers(0, num_gt, 500)
    dets = DetectionTable(
        np.concatenate([gts.images[copied], rng.integers(0, 40, num_noise)]),
        np.concatenate([gts.labels[copied], rng.integers(0, 3, num_noise)]),
        rng.random(500 + num_noise).astype(np.float32),
        np.concatenate(
            [
                gts.boxes[copied] + rng.normal(0, 3, (500, 4)).astype(np.float32),
                random_boxes(rng, num_noise, False),
            ]
        ),
    )
    result = assert_equals_naive(dets, gts, 3)
    assert 0.2 < result.map_area < 0.9


def test_golden_values_of_the_reference() -> None:
    dets = detection_table(
        [
            (0, 0, 0.9, (10, 10, 50, 50)),
            (0, 0, 0.8, (12, 12, 52, 52)),
            (0, 0, 0.6, (200, 200, 240, 240)),
            (0, 1, 0.7, (100, 100, 150, 150)),
        ]
    )
    gts = gt_table(
        [
            (0, 0, (11, 11, 51, 51), False),
            (0, 1, (100, 100, 149, 149), False),
            (0, 0, (200, 200, 239, 239), True),
        ]
    )
    result = voc_ap(dets, gts, num_classes=3)
    np.testing.assert_array_equal(result.ap_07, [1.0, 1.0, np.nan])
    np.testing.assert_array_equal(result.ap_area, [1.0, 1.0, np.nan])
    assert result.map_07 == 1.0
    assert result.map_area == 1.0
    np.testing.assert_array_equal(result.num_gt, [1, 1, 0])


def test_hand_computed_curve() -> None:
    """Ranked: hit, false positive, (difficult), hit, double; three objects, one never found."""
    a, b, difficult, missed = (0, 0, 9, 9), (20, 0, 29, 9), (40, 0, 49, 9), (60, 0, 69, 9)
    dets = detection_table(
        [
            (1, 0, 0.5, b),
            (0, 0, 0.9, a),
            (0, 0, 0.8, (100, 100, 120, 120)),
            (1, 0, 0.6, difficult),
            (0, 0, 0.4, a),
        ]
    )
    gts = gt_table([(0, 0, a, False), (1, 0, b, False), (1, 0, difficult, True), (1, 0, missed, False)])
    result = voc_ap(dets, gts, num_classes=1)
    (curve,) = result.curves
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 2 / 4])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.scores, np.array([0.9, 0.8, 0.5, 0.4], dtype=np.float32))
    # Levels 0 to 0.3 see precision 1, levels 0.4 to 0.6 see 2/3, the rest is never reached.
    assert result.map_07 == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert result.map_area == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_no_pixel_is_added() -> None:
    """Overlaps of exactly one half, a little less, and 0.477, which one pixel more would make true."""
    gts = gt_table([(0, 0, (0, 0, 10, 10), False)])
    assert voc_ap(detection_table([(0, 0, 0.5, (0, 0, 5, 10))]), gts, 1).map_area == 1.0
    assert voc_ap(detection_table([(0, 0, 0.5, (0, 0, 4.9, 10))]), gts, 1).map_area == 0.0
    small = gt_table([(0, 0, (0, 0, 12, 12), False)])
    assert voc_ap(detection_table([(0, 0, 0.5, (4.25, 0, 16.25, 12))]), small, 1).map_area == 0.0


def test_a_found_object_still_attracts_detections() -> None:
    """The second detection overlaps the found object most, so it does not fall back to the free one."""
    gts = gt_table([(0, 0, (0, 0, 9, 9), False), (0, 0, (0, 2, 9, 11), False)])
    dets = detection_table([(0, 0, 0.9, (0, 0, 9, 9)), (0, 0, 0.8, (0, 0, 9, 10))])
    np.testing.assert_allclose(voc_ap(dets, gts, 1).curves[0].recall, [0.5, 0.5])


def test_equal_scores_rank_in_row_order() -> None:
    gts = gt_table([(0, 0, (0, 0, 9, 9), False)])
    true_positive, miss = (0, 0, 0.5, (0.0, 0.0, 9.0, 9.0)), (0, 0, 0.5, (50.0, 50.0, 59.0, 59.0))
    assert voc_ap(detection_table([true_positive, miss]), gts, 1).map_area == 1.0
    assert voc_ap(detection_table([miss, true_positive]), gts, 1).map_area == 0.5


@pytest.mark.parametrize("tenths", range(1, 11))
def test_recall_on_a_level(tenths: int) -> None:
    """With 10 objects the recall falls on the levels; those at 0.3, 0.6, 0.7 lie a hair above."""
    boxes = [(20.0 * i, 0.0, 20.0 * i + 9, 9.0) for i in range(10)]
    gts = gt_table([(0, 0, box, False) for box in boxes])
    dets = detection_table([(0, 0, 0.9, box) for box in boxes[:tenths]])
    reached = tenths + 1 - (tenths in (3, 6, 7))
    assert voc_ap(dets, gts, 1).map_07 == pytest.approx(reached / 11)


def test_perfect_detections_score_one() -> None:
    boxes = [(20.0 * i, 0.0, 20.0 * i + 9, 9.0) for i in range(7)]
    result = voc_ap(
        detection_table([(i, 0, 0.9, box) for i, box in enumerate(boxes)]),
        gt_table([(i, 0, box, False) for i, box in enumerate(boxes)]),
        1,
    )
    assert result.map_07 == 1.0
    assert result.map_area == pytest.approx(1.0, abs=1e-15)


def test_image_numbers_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        dets, gts, num_classes = random_case(rng)
        # Without ties between images, which rank in row order.
        dets = dets._replace(scores=rng.permutation(len(dets.scores)).astype(np.float32))
        before = voc_ap(dets, gts, num_classes)
        renumbered = np.array([907, -4, 13])
        order, gt_order = rng.permutation(len(dets.images)), np.argsort(-gts.images, kind="stable")
        after = voc_ap(
            dets._replace(images=renumbered[dets.images]).take(order),
            gts._replace(images=renumbered[gts.images]).take(gt_order),
            num_classes,
        )
        np.testing.assert_array_equal(before.ap_07, after.ap_07)
        np.testing.assert_array_equal(before.ap_area, after.ap_area)


def test_relabelled_classes_permute_the_result() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        dets, gts, num_classes = random_case(rng)
        permutation = rng.permutation(num_classes)
        before = voc_ap(dets, gts, num_classes)
        after = voc_ap(
            dets._replace(labels=permutation[dets.labels]),
            gts._replace(labels=permutation[gts.labels]),
            num_classes,
        )
        np.testing.assert_array_equal(before.ap_area, after.ap_area[permutation])
        np.testing.assert_array_equal(before.num_gt, after.num_gt[permutation])


def test_empty_inputs() -> None:
    box = (0, 0, 9, 9)
    nothing = voc_ap(detection_table([]), gt_table([]), 2)
    np.testing.assert_array_equal(nothing.ap_07, [np.nan, np.nan])
    assert np.isnan(nothing.map_07)
    assert np.isnan(nothing.map_area)

    unfound = voc_ap(detection_table([]), gt_table([(0, 1, box, False)]), 2)
    np.testing.assert_array_equal(unfound.ap_07, [np.nan, 0.0])
    assert unfound.map_07 == unfound.map_area == 0.0

    only_difficult = voc_ap(detection_table([(0, 0, 0.5, box)]), gt_table([(0, 0, box, True)]), 1)
    assert np.isnan(only_difficult.map_07)
    assert len(only_difficult.curves[0].precision) == 0

    nothing_to_find = voc_ap(detection_table([(0, 0, 0.5, box)]), gt_table([]), 1)
    np.testing.assert_array_equal(nothing_to_find.curves[0].precision, [0.0])
    np.testing.assert_array_equal(nothing_to_find.curves[0].recall, [np.nan])


def test_bad_input_is_refused() -> None:
    dets, gts = detection_table([(0, 2, 0.5, (0, 0, 9, 9))]), gt_table([(0, 2, (0, 0, 9, 9), False)])
    with pytest.raises(ValueError, match=r"detections has labels from 2 to 2, but num_classes is 2"):
        voc_ap(dets, gt_table([]), 2)
    with pytest.raises(ValueError, match="ground_truth has labels"):
        voc_ap(detection_table([]), gts, 2)
    with pytest.raises(ValueError, match="differ in length"):
        voc_ap(dets._replace(scores=np.zeros(3, dtype=np.float32)), gts, 3)
    with pytest.raises(ValueError, match="iou_threshold"):
        voc_ap(dets, gts, 3, iou_threshold=0.0)
