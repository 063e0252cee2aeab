"""Windows over images, and boxes on their way from a view into the image."""

from itertools import pairwise

import pytest
import torch

from detection.ops.views import View, in_image, join_views, tile_of_grid, tile_windows, views_of
from detection.types import Detections


@pytest.mark.parametrize("size", [(500, 333), (64, 1000), (1, 1), (97, 96)])
@pytest.mark.parametrize("tile", [(96, 96), (64, 300), (1000, 1000)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 0.9])
def test_tiles_cover_the_image_and_overlap(
    size: tuple[int, int], tile: tuple[int, int], overlap: float
) -> None:
    windows = tile_windows(size, tile, overlap)
    shown = torch.zeros(size, dtype=torch.int64)
    for left, top, right, bottom in windows:
        assert (bottom - top, right - left) == tuple(map(min, tile, size))
        shown[top:bottom, left:right] += 1
    assert shown.min() >= 1
    for axis in (0, 1):
        starts = sorted({window[axis] for window in windows})
        side = windows[0][axis + 2] - windows[0][axis]
        shared = [side - (second - first) for first, second in pairwise(starts)]
        assert all(length >= overlap * side - 1 for length in shared)  # starts are whole pixels


def test_tiles_by_hand() -> None:
    assert tile_windows((100, 250), (100, 100), 0.25) == [
        (0, 0, 100, 100),
        (75, 0, 175, 100),
        (150, 0, 250, 100),
    ]
    assert tile_windows((80, 90), (100, 100), 0.2) == [(0, 0, 90, 80)]


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (7, 1), (5, 5)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.7])
def test_a_grid_has_its_rows_and_columns(grid: tuple[int, int], overlap: float) -> None:
    tile = tile_of_grid((700, 900), grid, overlap)
    assert len(tile_windows((700, 900), tile, overlap)) == grid[0] * grid[1]


def test_the_whole_image_is_looked_at_once() -> None:
    assert views_of((80, 90), [(0, 0, 90, 80)], flip=False) == [View((0, 0, 90, 80))]
    flipped = views_of((80, 90), [(0, 0, 50, 80)], flip=True)
    assert flipped == [
        *(View((0, 0, 90, 80)), View((0, 0, 90, 80), True)),
        *(View((0, 0, 50, 80)), View((0, 0, 50, 80), True)),
    ]


def test_mirrored_boxes_are_exact() -> None:
    view = View((10, 20, 110, 80), mirrored=True)
    boxes = torch.tensor([[0, 0, 100, 60], [0, 5, 3, 7.5], [98.25, 0, 100, 1]])
    expected = torch.tensor([[10, 20, 110, 80], [107, 25, 110, 27.5], [10, 20, 11.75, 21]])
    assert torch.equal(in_image(boxes, view), expected)
    assert in_image(torch.zeros(0, 4), view).shape == (0, 4)


def test_equal_scores_keep_the_order_of_their_view() -> None:
    found = Detections(
        boxes=torch.arange(12.0).reshape(3, 4),
        scores=torch.tensor([0.5, 0.5, 0.5]),
        labels=torch.tensor([2, 0, 1]),
    )
    joined, views = join_views([(View((5, 0, 9, 4)), found), (View((0, 0, 9, 4)), found)])
    assert joined["labels"].tolist() == [2, 0, 1, 2, 0, 1]
    assert views.tolist() == [0, 0, 0, 1, 1, 1]
    assert joined["boxes"][0].tolist() == [0, 1, 2, 3]
    assert joined["boxes"][3].tolist() == [5, 1, 7, 3]
