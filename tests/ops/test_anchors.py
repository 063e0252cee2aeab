import math
from collections.abc import Sequence

import pytest
import torch

from detection.ops.anchors import ssd_anchors

R3 = (1, 2, 1 / 2)
R5 = (1, 2, 1 / 2, 3, 1 / 3)
STEPS = (8, 16, 32, 64, 100, 300)
SIZES = (30, 60, 111, 162, 213, 264, 315)
RATIOS = (R3, R5, R5, R5, R3, R3)
MAPS_300 = [(n, n) for n in (38, 19, 10, 5, 3, 1)]
MAPS_512 = [(n, n) for n in (64, 32, 16, 8, 6, 4)]


def to_cxcywh(boxes: torch.Tensor) -> torch.Tensor:
    return torch.cat(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), dim=1)


def naive_anchors(
    maps: Sequence[tuple[int, int]],
    steps: Sequence[float],
    sizes: Sequence[float],
    ratios: Sequence[Sequence[float]],
) -> torch.Tensor:
    boxes = []
    for i, (height, width) in enumerate(maps):
        for row in range(height):
            for col in range(width):
                between = math.sqrt(sizes[i] * sizes[i + 1])
                shapes = [(sizes[i], sizes[i]), (between, between)]
                shapes += [(sizes[i] * math.sqrt(r), sizes[i] / math.sqrt(r)) for r in ratios[i][1:]]
                cx, cy = (col + 0.5) * steps[i], (row + 0.5) * steps[i]
                boxes += [(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2) for w, h in shapes]
    return torch.tensor(boxes)


def test_ssd300_has_8732_anchors_with_the_published_first_and_last() -> None:
    anchors = ssd_anchors(MAPS_300, STEPS, SIZES, RATIOS)
    assert anchors.shape == (8732, 4)
    assert anchors.dtype == torch.float32
    first = [[4, 4, 30, 30], [4, 4, 42.426, 42.426], [4, 4, 42.426, 21.213], [4, 4, 21.213, 42.426]]
    last = [
        [150, 150, 264, 264],
        [150, 150, 288.37, 288.37],
        [150, 150, 373.35, 186.68],
        [150, 150, 186.68, 373.35],
    ]
    torch.testing.assert_close(to_cxcywh(anchors[:4]), torch.tensor(first), atol=1e-3, rtol=0)
    torch.testing.assert_close(to_cxcywh(anchors[-4:]), torch.tensor(last), atol=1e-2, rtol=0)


def test_centres_of_the_third_map_lie_outside_a_300_image() -> None:
    anchors = to_cxcywh(ssd_anchors(MAPS_300, STEPS, SIZES, RATIOS))
    assert anchors[5776 + 2166 : 5776 + 2166 + 600, :2].max() == 304


def test_anchors_are_not_clipped() -> None:
    anchors = ssd_anchors(MAPS_300, STEPS, SIZES, RATIOS)
    outside = (anchors[:, :2] < 0).any(1) | (anchors[:, 2:] > 300).any(1)
    assert int(outside.sum()) == 2869


def test_the_300_layout_has_24656_anchors_on_the_maps_of_a_512_image() -> None:
    assert len(ssd_anchors(MAPS_512, STEPS, SIZES, RATIOS)) == 24656


def test_non_square_maps_agree_with_a_naive_loop() -> None:
    maps, steps, sizes = [(3, 5), (2, 1)], (8, 16.5), (10, 21.3, 40)
    expected = naive_anchors(maps, steps, sizes, (R3, R5))
    torch.testing.assert_close(ssd_anchors(maps, steps, sizes, (R3, R5)), expected)


def test_anchors_are_made_on_the_asked_device() -> None:
    assert ssd_anchors([(2, 2)], [8], [10, 20], [R3], device="meta").device.type == "meta"


@pytest.mark.parametrize(
    ("steps", "sizes", "ratios"),
    [([8, 16], [10, 20], [R3]), ([8], [10], [R3]), ([8], [10, 20], [R3, R3])],
)
def test_lists_that_disagree_are_refused(
    steps: list[float], sizes: list[float], ratios: list[tuple[float, ...]]
) -> None:
    with pytest.raises(ValueError, match="1 feature maps need 1 steps"):
        ssd_anchors([(2, 2)], steps, sizes, ratios)


def test_long_sides_are_cut_about_the_centre() -> None:
    anchors = ssd_anchors([(1, 1)], [100], [80, 90], [(1, 4)], max_side=100)
    assert anchors[2].tolist() == [0, 30, 100, 70]  # 160 by 40, uncut
    assert anchors[0].tolist() == [10, 10, 90, 90]
