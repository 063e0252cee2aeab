from collections import Counter

import numpy as np
import pytest

from detection.data.shape_drawing import (
    MIN_CONTRAST,
    SHAPE_CLASSES,
    Drawing,
    _paint,
    _visible_objects,
    draw_image,
)


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    return [draw_image(np.random.default_rng(seed), 128) for seed in range(600)]


def test_images(drawings: list[Drawing]) -> None:
    for drawing in drawings:
        assert drawing.image.shape == (128, 128, 3)
        assert drawing.image.dtype == np.uint8
        assert drawing.image.std() > 3  # textured everywhere, empty images too


def test_number_of_objects(drawings: list[Drawing]) -> None:
    counts = Counter(len(drawing.objects) for drawing in drawings)
    assert set(counts) == {0, 1, 2, 3, 4}
    assert 0.02 < counts[0] / len(drawings) < 0.09
    assert min(counts[number] for number in (1, 2, 3, 4)) > 60


def test_classes_are_balanced(drawings: list[Drawing]) -> None:
    names = Counter(item.name for drawing in drawings for item in drawing.objects)
    assert len(SHAPE_CLASSES) == 8
    assert set(names) == set(SHAPE_CLASSES)
    assert min(names.values()) > 0.7 * max(names.values())


def test_boxes_lie_inside_and_span_the_sizes(drawings: list[Drawing]) -> None:
    boxes = np.array([item.box for drawing in drawings for item in drawing.objects if not item.difficult])
    assert boxes.min() >= 0
    assert boxes.max() <= 128
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert longest.max() <= 82  # 80, and one pixel of smoothing on each side
    assert np.quantile(longest, 0.05) < 20
    assert np.quantile(longest, 0.9) > 55


def test_some_are_difficult(drawings: list[Drawing]) -> None:
    difficult = [item.difficult for drawing in drawings for item in drawing.objects]
    assert 0.01 < np.mean(difficult) < 0.12


def block(x1: int, y1: int, x2: int, y2: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros((40, 40), dtype=bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def test_boxes_are_tight_around_what_is_seen() -> None:
    under, over = block(5, 10, 24, 29), block(15, 0, 39, 39)
    seen = _visible_objects([("square", under), ("cross", over)])
    assert seen == [("square", (5, 10, 15, 30), True), ("cross", (15, 0, 40, 40), False)]


def test_order_of_drawing_decides_who_hides() -> None:
    small, large = block(5, 5, 14, 14), block(0, 0, 39, 39)
    assert [item.name for item in _visible_objects([("star", small), ("ring", large)])] == ["ring"]
    assert _visible_objects([("ring", large), ("star", small)]) == [
        ("ring", (0, 0, 40, 40), False),
        ("star", (5, 5, 15, 15), False),
    ]


@pytest.mark.parametrize(("hidden_columns", "difficult"), [(0, False), (2, False), (3, True), (8, True)])
def test_mostly_hidden_is_difficult(hidden_columns: int, difficult: bool) -> None:
    later = block(0, 0, hidden_columns - 1, 39) if hidden_columns else np.zeros((40, 40), dtype=bool)
    item = _visible_objects([("heart", block(0, 0, 9, 9)), ("ring", later | block(30, 30, 39, 39))])[0]
    assert item.name == "heart"
    assert item.difficult is difficult


def test_paint_contrasts_with_what_lies_behind() -> None:
    coverage = np.where(block(10, 10, 29, 29), 255, 0).astype(np.uint8)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        image = np.full((40, 40, 3), rng.integers(0, 256, 3), np.uint8)
        behind = image[0, 0].astype(float)
        _paint(rng, image, coverage)
        painted = image[12:28, 12:28].reshape(-1, 3).mean(axis=0)
        assert np.linalg.norm(painted - behind) > MIN_CONTRAST - 20  # shading may take a little away
        assert (image[:8] == behind).all()
