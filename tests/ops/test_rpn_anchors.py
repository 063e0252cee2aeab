import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from detection.ops.rpn_anchors import fpn_base_anchors, rpn_anchors, rpn_base_anchors, shift_anchors

RATIOS = (0.5, 1, 2)

GOLDEN = [
    [-15, -4, 30, 19],
    [-38, -16, 53, 31],
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-8, -8, 23, 23],
    [-24, -24, 39, 39],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-3, -14, 18, 29],
    [-14, -36, 29, 51],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]


def test_the_fifteen_published_base_anchors() -> None:
    anchors = rpn_base_anchors(16, RATIOS, (2, 4, 8, 16, 32))
    assert anchors.dtype == torch.float32
    assert anchors.tolist() == GOLDEN


def test_shifted_anchors_are_ordered_by_row_column_and_base() -> None:
    base = rpn_base_anchors(16, RATIOS, (2, 4))
    anchors = shift_anchors(base, (3, 5), 16)
    assert anchors.shape == (3 * 5 * 6, 4)
    for row in range(3):
        for col in range(5):
            for k in range(6):
                x1, y1, x2, y2 = base[k].tolist()
                expected = [x1 + 16 * col, y1 + 16 * row, x2 + 16 * col, y2 + 16 * row]
                assert anchors[(row * 5 + col) * 6 + k].tolist() == expected


def test_of_28500_anchors_15720_are_inside_600x800() -> None:
    anchors = shift_anchors(rpn_base_anchors(16, RATIOS, (2, 4, 8, 16, 32)), (38, 50), 16)
    assert len(anchors) == 28500
    x1, y1, x2, y2 = anchors.unbind(-1)
    assert int(((x1 >= 0) & (y1 >= 0) & (x2 < 800) & (y2 < 600)).sum()) == 15720


@pytest.mark.parametrize("ratios", [RATIOS, (1 / 3, 1, 3)])
def test_pyramid_anchors_are_torchvisions(ratios: tuple[float, ...]) -> None:
    sizes, strides = (32, 64, 100), (8, 16, 32)
    feature_sizes = [(16, 24), (8, 12), (4, 6)]
    generator = AnchorGenerator(tuple((size,) for size in sizes), (ratios,) * 3)
    image = ImageList(torch.zeros(1, 3, 128, 192), [(128, 192)])
    (expected,) = generator(image, [torch.zeros(1, 1, *size) for size in feature_sizes])
    anchors = [
        shift_anchors(fpn_base_anchors(size, ratios), feature_size, stride)
        for size, feature_size, stride in zip(sizes, feature_sizes, strides, strict=True)
    ]
    assert torch.equal(torch.cat(anchors), expected)


def test_a_map_without_cells_has_no_anchors() -> None:
    assert shift_anchors(rpn_base_anchors(16, (1,), (1,)), (0, 3), 16).shape == (0, 4)


def test_anchors_of_an_input_cover_every_started_cell_of_every_map() -> None:
    bases = [fpn_base_anchors(size, RATIOS) for size in (32, 64, 128)]
    expected = [
        shift_anchors(base, cells, stride)
        for base, cells, stride in zip(bases, [(3, 5), (2, 3), (1, 2)], (32, 64, 128), strict=True)
    ]
    assert torch.equal(rpn_anchors(bases, (32, 64, 128), (96, 160)), torch.cat(expected))


def test_fitted_anchors_are_torchvisions_where_the_last_cell_is_a_started_one() -> None:
    generator = AnchorGenerator(((64,), (128,)), (RATIOS,) * 2)
    bases = [fpn_base_anchors(size, RATIOS) for size in (64, 128)]
    image = ImageList(torch.zeros(1, 3, 96, 160), [(96, 160)])
    (expected,) = generator(image, [torch.zeros(1, 1, 3, 5), torch.zeros(1, 1, 2, 3)])
    assert torch.equal(rpn_anchors(bases, (32, 64), (96, 160), fit_strides=True), expected)
    assert not torch.equal(rpn_anchors(bases, (32, 64), (96, 160)), expected)
