"""Pictures made of several: what is kept, what is dropped, and where things are put."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from detection.data.chain import Picture
from detection.data.compositions import (
    cut,
    paste_objects,
    sample_mixture,
    sample_mosaic,
    sample_part,
    sample_tile,
)


def picture(
    boxes: Sequence[Sequence[float]],
    size: tuple[int, int] = (60, 80),
    grey: int = 100,
    difficult: bool = False,
) -> Picture:
    """Of one grey; labels are 0, 1, 2 ... in the order of the boxes."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.full((*size, 3), grey, np.uint8)
    return Picture(image, array, np.arange(len(array)), np.full(len(array), difficult))


def test_a_cut_drops_what_is_less_than_three_tenths_visible() -> None:
    # Of their tens of columns, the window from 20 on shows 2, 3, 4 and all.
    boxes = [[12, 30, 22, 40], [13, 30, 23, 40], [14, 30, 24, 40], [30, 30, 40, 40], [0, 0, 5, 5]]
    seen = cut(picture(boxes), (20, 10, 60, 50))
    assert seen.size == (40, 40)
    assert seen.labels.tolist() == [1, 2, 3]
    np.testing.assert_allclose(seen.boxes, [[0, 20, 3, 30], [0, 20, 4, 30], [10, 20, 20, 30]])
    assert len(seen.difficult) == 3


def test_what_fills_the_part_is_kept_however_much_is_cut_away() -> None:
    large = picture([[0, 0, 300, 300], [0, 0, 300, 111], [0, 0, 300, 113]], size=(400, 400))
    seen = cut(large, (100, 100, 140, 140))
    assert seen.labels.tolist() == [0, 2]
    np.testing.assert_allclose(seen.boxes, [[0, 0, 40, 40], [0, 0, 40, 13]])


def test_tiles_have_their_size_and_lie_where_they_should() -> None:
    box, rng = np.array([[900.0, 10, 920, 30]]), random.Random(0)
    windows = [sample_tile((400, 1000), (100, 200), box, rng) for _ in range(2000)]
    whole = [window for window in windows if window == (0, 0, 1000, 400)]
    tiles = [window for window in windows if window != (0, 0, 1000, 400)]
    assert len(whole) / 2000 == pytest.approx(0.25, abs=0.03)
    assert {(right - left, bottom - top) for left, top, right, bottom in tiles} == {(200, 100)}
    assert all(
        left >= 0 and top >= 0 and right <= 1000 and bottom <= 400 for left, top, right, bottom in tiles
    )
    holding = [window for window in tiles if window[0] <= 910 <= window[2] and window[1] <= 20 <= window[3]]
    assert 0.5 < len(holding) / 2000 < 0.56  # those around the object, and a few of the others
    assert len({window[0] for window in holding}) > 50


def test_tiles_of_small_images_and_of_images_without_objects() -> None:
    nothing, rng = np.zeros((0, 4)), random.Random(0)
    assert {sample_tile((90, 120), (100, 200), nothing, rng) for _ in range(30)} == {(0, 0, 120, 90)}
    tiles = {sample_tile((90, 300), (100, 200), nothing, rng) for _ in range(60)}
    assert {(top, bottom) for _, top, _, bottom in tiles} == {(0, 90)}
    assert len(tiles) > 20
    edge = np.array([[290.0, 80, 300, 90]])
    assert all(sample_tile((90, 300), (40, 50), edge, rng)[2] <= 300 for _ in range(60))


def test_a_part_keeps_its_shape() -> None:
    """A square stays a square where it is seen whole, at one to two times its size in the largest part."""
    for seed in range(60):
        part = sample_part(picture([[30, 20, 50, 40]]), (40, 30), 0.5, random.Random(seed))
        assert part.size == (40, 30)
        for x1, y1, x2, y2 in part.boxes:
            if min(x1, y1) > 0 and x2 < 30 and y2 < 40:
                assert x2 - x1 == pytest.approx(y2 - y1, rel=0.08)
                assert 20 * 40 / 60 * 0.95 < y2 - y1 < 2 * 20 * 40 / 60 * 1.05


def test_a_mosaic_shows_each_picture_in_a_corner_with_its_objects() -> None:
    pictures = [picture([[0, 0, 80, 60]], grey=50 * number) for number in range(1, 5)]
    corners = set()
    for seed in range(20):
        mosaic = sample_mosaic(pictures, (90, 120), 0.5, random.Random(seed))
        assert mosaic.size == (90, 120)
        assert mosaic.labels.tolist() == [0] * 4
        corners.add(tuple(mosaic.boxes[0, 2:].tolist()))
        for number, (x1, y1, x2, y2) in enumerate(mosaic.boxes.astype(int), start=1):
            assert (mosaic.image[y1:y2, x1:x2] == 50 * number).all()
        sides = mosaic.boxes[:, 2:] - mosaic.boxes[:, :2]
        assert sides.prod(axis=1).sum() == 90 * 120
        assert (sides >= [0.3 * 120 - 1, 0.3 * 90 - 1]).all()
    assert len(corners) == 20


@pytest.mark.parametrize("size", [(1, 90), (90, 1), (1, 1), (2, 2)])
def test_a_mosaic_of_hardly_any_pixels_is_one(size: tuple[int, int]) -> None:
    four = [picture([[5, 5, 70, 50]], grey=60 * index) for index in range(4)]
    for seed in range(20):
        mosaic = sample_mosaic(four, size, 0.5, random.Random(seed))
        assert mosaic.size == size
        assert {*np.unique(mosaic.image)} <= {0, 60, 120, 180}
        assert len(mosaic.boxes) == len(mosaic.labels) == len(mosaic.difficult)


def test_a_mixture_shows_both() -> None:
    first, second = picture([[0, 0, 9, 9]], grey=0), picture([[1, 1, 20, 20], [5, 5, 8, 8]], grey=200)
    greys = []
    for seed in range(50):
        mixed = sample_mixture(first, second, random.Random(seed))
        assert mixed.labels.tolist() == [0, 0, 1]
        greys.append(int(mixed.image[0, 0, 0]))
    assert 20 < min(greys) < 80 < 120 < max(greys) < 180


def test_objects_are_pasted_where_none_is() -> None:
    base = picture([[0, 0, 40, 60]], grey=10)
    donor = picture([[0, 0, 16, 12], [30, 20, 60, 50]], grey=200)
    pasted = 0
    for seed in range(40):
        out = paste_objects(base, donor, random.Random(seed))
        pasted += len(out.boxes) - 1
        shown = np.zeros(base.size, bool)
        for x1, y1, x2, y2 in out.boxes[1:].astype(int):
            assert x1 >= 40
            assert not shown[y1:y2, x1:x2].any()
            shown[y1:y2, x1:x2] = True
        assert ((out.image[..., 0] == 200) == shown).all()
        assert set(out.labels[1:].tolist()) <= {0, 1}
    assert pasted > 40
    assert (base.image == 10).all(), "the picture itself is as it was"


@pytest.mark.parametrize(
    "donor",
    [
        picture([]),
        picture([[0, 0, 16, 12]], difficult=True),
        picture([[0, 0, 20, 20], [10, 0, 30, 20]]),  # each box shows half of the other
        picture([[0, 0, 3, 3]]),
    ],
    ids=["nothing", "difficult", "in a crowd", "tiny"],
)
def test_what_is_not_pasted(donor: Picture) -> None:
    base = picture([[0, 0, 10, 10]])
    for seed in range(10):
        assert len(paste_objects(base, donor, random.Random(seed)).boxes) == 1


def test_nothing_is_pasted_where_there_is_no_room() -> None:
    full = picture([[0, 0, 80, 60]])
    assert len(paste_objects(full, picture([[0, 0, 30, 30]]), random.Random(0)).boxes) == 1
