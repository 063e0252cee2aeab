"""What holds for the average precision of all detections: it knows no order, side, scale or copies."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.metrics.coco_ap import coco_ap
from detection.metrics.tables import DetectionTable, FloatArray, GroundTruthTable
from detection.metrics.voc_ap import VOCResult, voc_ap
from detection.types import Detections, Target

ALWAYS = settings(max_examples=60, derandomize=True, deadline=None, database=None)
CLASSES = 3
Tables = tuple[DetectionTable, GroundTruthTable]


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Objects in a few images, and detections near some of them; no two scores are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    num_gt, num_found = draw(st.integers(1, 12)), draw(st.integers(0, 25))
    near = rng.integers(0, 60, (num_gt, 2)).astype(float)
    boxes = np.concatenate((near, near + rng.integers(5, 60, (num_gt, 2))), axis=1)
    labels, images = rng.integers(0, CLASSES, num_gt), rng.integers(0, 4, num_gt)
    source = rng.integers(0, num_gt, num_found)
    moved = boxes[source] + rng.uniform(-4, 5, (num_found, 1)).round()
    wrong = rng.random(num_found) < 0.3
    found_labels = np.where(wrong, rng.integers(0, CLASSES, num_found), labels[source])
    scores = rng.permutation(num_found) / max(num_found, 1)
    difficult = rng.random(num_gt) < 0.2
    return (
        DetectionTable(images[source], found_labels, scores, moved),
        GroundTruthTable(images, labels, boxes, difficult),
    )


def assert_same(found: VOCResult, expected: VOCResult) -> None:
    np.testing.assert_allclose(found.ap_07, expected.ap_07, atol=1e-12)
    np.testing.assert_allclose(found.ap_area, expected.ap_area, atol=1e-12)


@given(tables(), st.integers(0, 100))
@ALWAYS
def test_neither_order_nor_the_names_of_images_matter(given_tables: Tables, seed: int) -> None:
    found, truth = given_tables
    rng = np.random.default_rng(seed)
    shuffled = found.take(rng.permutation(len(found.scores))), truth.take(rng.permutation(len(truth.labels)))
    expected = voc_ap(found, truth, CLASSES)
    assert_same(voc_ap(*shuffled, CLASSES), expected)
    renamed = rng.permutation(4)
    moved = found._replace(images=renamed[found.images]), truth._replace(images=renamed[truth.images])
    assert_same(voc_ap(*moved, CLASSES), expected)


@given(tables())
@ALWAYS
def test_only_the_order_of_scores_matters(given_tables: Tables) -> None:
    found, truth = given_tables
    squeezed = found._replace(scores=np.exp(found.scores * 3) / 100)
    assert_same(voc_ap(squeezed, truth, CLASSES), voc_ap(found, truth, CLASSES))


WIDTH = 200


def mirrored(boxes: FloatArray) -> FloatArray:
    """The right edge of a box becomes its left one."""
    return np.stack((WIDTH - boxes[:, 2], boxes[:, 1], WIDTH - boxes[:, 0], boxes[:, 3]), axis=1)


def doubled(boxes: FloatArray) -> FloatArray:
    """Each pixel becomes four."""
    return boxes * 2


@given(tables(), st.sampled_from([mirrored, doubled]))
@ALWAYS
def test_neither_side_nor_size_of_the_images_matters(
    given_tables: Tables, change: Callable[[FloatArray], FloatArray]
) -> None:
    found, truth = given_tables
    changed = found._replace(boxes=change(found.boxes)), truth._replace(boxes=change(truth.boxes))
    assert_same(voc_ap(*changed, CLASSES), voc_ap(found, truth, CLASSES))


@given(tables(), st.integers(0, 100))
@ALWAYS
def test_the_same_holds_for_cocos(given_tables: Tables, seed: int) -> None:
    """Sizes matter there, to what is small, medium or large, but not to the mean of all."""
    found, truth = given_tables
    rng = np.random.default_rng(seed)
    expected = by_coco(found, truth)
    moved = by_coco(found._replace(boxes=mirrored(found.boxes)), truth._replace(boxes=mirrored(truth.boxes)))
    shuffled = by_coco(
        found.take(rng.permutation(len(found.scores))), truth.take(rng.permutation(len(truth.labels)))
    )
    larger = by_coco(found._replace(boxes=found.boxes * 2), truth._replace(boxes=truth.boxes * 2))
    for name, value in expected.items():
        torch.testing.assert_close(moved[name], value, equal_nan=True)
        torch.testing.assert_close(shuffled[name], value, equal_nan=True)
        if name not in ("map_small", "map_medium", "map_large"):
            torch.testing.assert_close(larger[name], value, equal_nan=True)


def by_coco(found: DetectionTable, truth: GroundTruthTable) -> dict[str, torch.Tensor]:
    """COCO's AP of the tables, image by image."""
    detections = [
        Detections(
            boxes=torch.from_numpy(part.boxes).float(),
            scores=torch.from_numpy(part.scores).float(),
            labels=torch.from_numpy(part.labels),
        )
        for part in (found.take(np.flatnonzero(found.images == image)) for image in range(4))
    ]
    targets = [
        Target(
            boxes=torch.from_numpy(part.boxes).float(),
            labels=torch.from_numpy(part.labels),
            difficult=torch.from_numpy(part.difficult),
            image_id=str(image),
            size=(WIDTH, WIDTH),
        )
        for image, part in enumerate(truth.take(np.flatnonzero(truth.images == image)) for image in range(4))
    ]
    return coco_ap(detections, targets, CLASSES)


@given(tables())
@ALWAYS
def test_a_set_twice_is_the_set(given_tables: Tables) -> None:
    """Of the area, up to the precision at equal scores, which a copy's hit has no part in."""
    found, truth = given_tables
    clean = truth._replace(difficult=np.zeros_like(truth.difficult))
    perfect = DetectionTable(clean.images, clean.labels, np.linspace(1, 0.5, len(clean.labels)), clean.boxes)
    for detections in (perfect, found.take(np.arange(0))):
        copies = DetectionTable(
            *(np.concatenate((a, b)) for a, b in zip(detections, detections, strict=True))
        )
        copies = copies._replace(images=np.concatenate((detections.images, detections.images + 4)))
        twice = clean.take(np.tile(np.arange(len(clean.labels)), 2))
        twice = twice._replace(images=np.concatenate((clean.images, clean.images + 4)))
        assert_same(voc_ap(copies, twice, CLASSES), voc_ap(detections, clean, CLASSES))


@given(tables(), st.sampled_from([2, 4]))
@ALWAYS
def test_an_average_is_within_bounds_and_false_positives_lower_it(given_tables: Tables, count: int) -> None:
    found, truth = given_tables
    result = voc_ap(found, truth, CLASSES)
    for values in (result.ap_07, result.ap_area):
        known = values[~np.isnan(values)]
        assert ((known >= 0) & (known <= 1 + 1e-12)).all()
    far = np.tile([[900.0, 900, 950, 950]], (count, 1))
    alarms = DetectionTable(np.zeros(count, int), np.zeros(count, int), np.full(count, 2.0), far)
    more = DetectionTable(*(np.concatenate((a, b)) for a, b in zip(found, alarms, strict=True)))
    worse = voc_ap(more, truth, CLASSES)
    if result.num_gt[0]:
        assert worse.ap_area[0] <= result.ap_area[0] + 1e-12
    assert worse.ap_area[1:] == pytest.approx(result.ap_area[1:], nan_ok=True)
