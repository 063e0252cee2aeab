"""The merger of views: each step of its rule by hand, and its properties on drawn scenes."""

import random

import pytest
import torch
from torch import Tensor

from detection.ops import merging
from detection.ops.boxes import pairwise_iou
from detection.ops.merging import cut_edges, merge_views
from detection.ops.views import View, tile_windows, views_of
from detection.types import Detections

SIZE = (400, 600)
LEFT, RIGHT = View((0, 0, 320, 400)), View((280, 0, 600, 400))
WHOLE = View((0, 0, 600, 400))


def boxes_in(*rows: tuple[float, ...]) -> Detections:
    """Detections of ``x1, y1, x2, y2, score, label``, in the pixels of a view, by descending score."""
    table = torch.tensor(sorted(rows, key=lambda row: -row[4])).reshape(-1, 6)
    return Detections(boxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].long())


def rows_of(found: Detections) -> list[list[float]]:
    return torch.cat(
        (found["boxes"], found["scores"].unsqueeze(1), found["labels"].unsqueeze(1)), dim=1
    ).tolist()


def random_detections(generator: torch.Generator, view: View, count: int, num_labels: int = 3) -> Detections:
    """Of any boxes in a view, many of which end at its borders; scores are not all different."""
    left, top, right, bottom = view.window
    sides = torch.tensor([right - left, bottom - top])
    corners = (torch.rand(count, 2, 2, generator=generator) * 1.3 - 0.15).clamp(0, 1) * sides
    scores = torch.rand(count, generator=generator).mul(20).round().div(20)
    scores = scores.sort(descending=True).values
    boxes = torch.cat((corners.amin(dim=1), corners.amax(dim=1)), dim=1)
    return Detections(
        boxes=boxes, scores=scores, labels=torch.randint(num_labels, (count,), generator=generator)
    )


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("seed", range(5))
def test_a_single_view_of_the_whole_image_stays_as_it_is(seed: int, count: int) -> None:
    found = random_detections(torch.Generator().manual_seed(seed), WHOLE, count)
    merged = merge_views([(WHOLE, found)], SIZE)
    assert all(torch.equal(merged[key], found[key]) for key in ("boxes", "scores", "labels"))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_views_does_not_matter(seed: int, flip: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    views = views_of(SIZE, tile_windows(SIZE, (200, 200), 0.2), flip)
    found = [(view, random_detections(generator, view, 30)) for view in views]
    expected = merge_views(found, SIZE)
    assert 0 < len(expected["scores"]) < sum(len(item["scores"]) for _, item in found)
    for _ in range(3):
        random.Random(seed).shuffle(found)
        merged = merge_views(found, SIZE)
        assert all(torch.equal(merged[key], expected[key]) for key in ("boxes", "scores", "labels"))


def test_which_edges_are_cut() -> None:
    windows = torch.tensor([RIGHT.window] * 3)
    boxes = torch.tensor([[280.0, 0, 600, 400], [286, 5, 300, 399], [287, 5, 300, 399]])
    cut = cut_edges(boxes, windows, torch.full((3, 2), 6.4), SIZE)
    assert cut.tolist() == [[True, False, False, False], [True, False, False, False], [False] * 4]


def test_two_parts_of_a_long_object_become_one() -> None:
    found = [
        (LEFT, boxes_in((100, 50, 319, 150, 0.8, 1))),
        (RIGHT, boxes_in((0, 54, 200, 152, 0.9, 1))),
    ]
    assert rows_of(merge_views(found, SIZE)) == [[100, 50, 480, 152, pytest.approx(0.9), 1]]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ((0, 54, 200, 152, 0.9, 2), "another class"),
        ((0, 160, 200, 300, 0.9, 1), "elsewhere along the cut"),
        ((20, 54, 200, 152, 0.9, 1), "begins within its tile"),
        ((0, 54, 200, 152, 0.2, 1), "a vague guess"),
    ],
)
def test_what_does_not_belong_together_stays_apart(second: tuple[float, ...], why: str) -> None:
    found = [(LEFT, boxes_in((100, 50, 319, 150, 0.8, 1))), (RIGHT, boxes_in(second))]
    assert len(merge_views(found, SIZE)["scores"]) == 2, why


def test_an_object_over_four_tiles_is_joined_from_the_best_parts() -> None:
    size = (400, 400)
    windows = tile_windows(size, (220, 220), 0.1)
    object_ = torch.tensor([[120.0, 130, 300, 290]])
    found = []
    for number, window in enumerate(windows):
        part, junk = clipped(object_, window)[0].tolist(), [0.0, 0, 219, 219]
        found.append((View(window), boxes_in((*part, 0.9 - 0.1 * number, 0), (*junk, 0.1, 0))))
    merged = merge_views(found, size)
    assert rows_of(merged)[0] == [120, 130, 300, 290, pytest.approx(0.9), 0]
    assert (merged["scores"] > 0.2).sum() == 1


def test_a_part_goes_where_the_whole_was_found_even_with_a_lower_score() -> None:
    small_part = (280, 50, 320, 150, 0.9, 0)  # of an object up to 400: an IoU of a third
    found = [(LEFT, boxes_in(small_part)), (WHOLE, boxes_in((280, 50, 400, 150, 0.5, 0)))]
    assert rows_of(merge_views(found, SIZE)) == [[280, 50, 400, 150, 0.5, 0]]
    # The same box, not cut, is an object of its own.
    found = [(WHOLE, boxes_in(small_part)), (RIGHT, boxes_in((0, 50, 120, 150, 0.5, 0)))]
    assert len(merge_views(found, SIZE)["scores"]) == 2


def test_a_large_part_gives_its_score_to_the_whole() -> None:
    found = [
        (LEFT, boxes_in((200, 50, 320, 150, 0.9, 0))),
        (WHOLE, boxes_in((200, 50, 350, 150, 0.5, 0))),
    ]
    assert rows_of(merge_views(found, SIZE)) == [[200, 50, 350, 150, pytest.approx(0.9), 0]]


def test_a_part_that_took_a_larger_part_gives_way_too() -> None:
    size, first, second = (100, 1000), View((0, 0, 200, 100)), View((0, 0, 300, 100))
    found = [
        (first, boxes_in((100, 0, 200, 50, 0.9, 0))),
        (second, boxes_in((100, 0, 300, 50, 0.8, 0), (110, 0, 290, 50, 0.7, 0))),
        (View((0, 0, 1000, 100)), boxes_in((90, 0, 900, 50, 0.6, 0))),
    ]
    merged = merge_views(found, size, iou_threshold=0.45)
    assert [90, 0, 900, 50] in merged["boxes"].tolist()
    assert [100, 0, 300, 50] not in merged["boxes"].tolist()
    assert [100, 0, 200, 50] not in merged["boxes"].tolist()


def test_duplicates_of_views_go_and_those_of_one_view_stay() -> None:
    one, near = (100, 50, 200, 150, 0.9, 0), (110, 50, 210, 150, 0.8, 0)
    assert len(merge_views([(WHOLE, boxes_in(one, near))], SIZE)["scores"]) == 2
    found = [(WHOLE, boxes_in(one)), (LEFT, boxes_in(near))]
    assert rows_of(merge_views(found, SIZE)) == [[100, 50, 200, 150, pytest.approx(0.9), 0]]
    mirrored = (400, 50, 500, 150, 0.7, 0)  # the same place
    found = [(WHOLE, boxes_in(one)), (View(WHOLE.window, mirrored=True), boxes_in(mirrored))]
    assert rows_of(merge_views(found, SIZE)) == [[100, 50, 200, 150, pytest.approx(0.9), 0]]


def naive_suppression(boxes: Tensor, views: list[int], threshold: float) -> list[int]:
    overlaps = pairwise_iou(boxes, boxes).tolist()
    kept: list[int] = []
    for row, view in enumerate(views):
        if not any(views[other] != view and overlaps[row][other] > threshold for other in kept):
            kept.append(row)
    return kept


def test_suppression_against_a_naive_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over more boxes than a block; views of the whole image have no cuts."""
    monkeypatch.setattr(merging, "_PAIRS", 100 * 700)
    generator = torch.Generator().manual_seed(0)
    views = [WHOLE, View(WHOLE.window, mirrored=True)]
    found = [(view, random_detections(generator, view, 350, num_labels=1)) for view in views]
    merged = merge_views(found, SIZE)
    boxes, scores = (torch.cat([item[key] for _, item in found]) for key in ("boxes", "scores"))
    boxes[350:, [0, 2]] = 600 - boxes[350:, [2, 0]]
    order = scores.argsort(descending=True, stable=True)
    kept = naive_suppression(boxes[order], (order >= 350).int().tolist(), 0.5)
    assert 256 < len(kept) < 700
    torch.testing.assert_close(merged["boxes"], boxes[order][kept])


def clipped(boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """What a window shows of boxes, in its own pixels."""
    left, top, right, bottom = window
    low, high = torch.tensor([left, top] * 2), torch.tensor([right, bottom] * 2)
    return torch.minimum(torch.maximum(boxes, low), high) - low


def perfect(boxes: Tensor, view: View) -> Detections:
    """What a detector without faults finds: each object as far as the view shows it."""
    parts = clipped(boxes, view.window)
    seen = ((parts[:, 2:] - parts[:, :2]) >= 2).all(dim=1)
    parts = parts[seen]
    if view.mirrored:
        parts[:, [0, 2]] = view.window[2] - view.window[0] - parts[:, [2, 0]]
    scores = torch.linspace(0.95, 0.6, len(parts))
    return Detections(boxes=parts, scores=scores, labels=torch.zeros(len(parts), dtype=torch.int64))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("with_whole", [False, True])
@pytest.mark.parametrize("longest", [40, 200])
@pytest.mark.parametrize("seed", range(6))
def test_each_object_is_found_once(seed: int, longest: int, with_whole: bool, flip: bool) -> None:
    """Tiles of 200 pixels share 50: short objects are whole in one of them, long ones lie across several."""
    draw = random.Random(seed)
    size = (700, 900)
    boxes = []
    for row in range(3):
        for column in range(4):
            width, height = draw.randint(12, longest), draw.randint(12, longest)
            x, y = 225 * column + draw.randint(0, 220 - width), 233 * row + draw.randint(0, 230 - height)
            boxes.append([x, y, x + width, y + height])
    objects = torch.tensor(boxes).float()
    views = views_of(size, tile_windows(size, (200, 200), 0.25), flip)
    whole = (0, 0, size[1], size[0])
    views = [view for view in views if with_whole or view.window != whole]
    merged = merge_views([(view, perfect(objects, view)) for view in views], size)
    assert len(merged["scores"]) == len(objects)
    overlaps = pairwise_iou(merged["boxes"], objects)
    assert (overlaps.amax(dim=0) > 0.8).all()  # a part that lacks less than the rule sees may stand for all
