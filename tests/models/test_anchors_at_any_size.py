"""SSD's anchors grow with the input: what fits the objects at a published size fits them at every other."""

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from detection.models.backbones import (
    MobileNetV2Backbone,
    MobileNetV2TensorFlowBackbone,
    MobileNetV3LargeBackbone,
    TinyBackbone,
    VGG16AtrousBackbone,
)
from detection.models.presets import PRESETS
from detection.models.ssd import SSD, build_ssd
from detection.ops.anchors import ssd_anchors
from detection.ops.boxes import pairwise_iou
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask

Size = int | tuple[int, int]
BACKBONES = {
    "vgg16_atrous": VGG16AtrousBackbone,
    "mobilenet_v2": MobileNetV2Backbone,
    "mobilenet_v2_tensorflow": MobileNetV2TensorFlowBackbone,
    "mobilenet_v3": MobileNetV3LargeBackbone,
    "tiny": TinyBackbone,
}


def sides(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


@cache
def made(family: str, size: Size, **options: object) -> SSD:
    with torch.device("meta"):  # anchors do not depend on weights
        return build_ssd(BACKBONES[family](None), 2, size, **options)  # type: ignore[arg-type]


def big_objects(height: int, width: int) -> Tensor:
    """Boxes of 60 to 95 % of the input by their area, up to twice as long as wide, inside it."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(4, 1000, generator=generator)
    area = (0.6 + 0.35 * draws[0]) ** 2 * height * width
    aspect = 2 ** (2 * draws[1] - 1)
    shapes = torch.stack(((area * aspect).sqrt(), (area / aspect).sqrt()), dim=1)
    inside = (shapes <= torch.tensor([width, height])).all(dim=1)
    corners = draws[2:].T[inside] * (torch.tensor([width, height]) - shapes[inside])
    return torch.cat((corners, corners + shapes[inside]), dim=1)


@pytest.mark.parametrize(("family", "size"), list(PRESETS))
def test_published_sizes_have_the_published_anchors_bit_for_bit(family: str, size: int) -> None:
    if family == "resnet":
        pytest.skip("its backbone has the maps of one of its two sizes")
    network, preset = made(family, size), PRESETS[family, size]
    cells = network.feature_sizes((size, size))
    published = ssd_anchors(
        cells,
        preset.anchor_steps,
        preset.anchor_sizes,
        preset.anchor_ratios,
        max_side=preset.max_anchor_side,
        reduced_finest=preset.reduced_finest,
    )
    assert torch.equal(network.anchors_over((size, size)), published)
    assert torch.equal(made(family, (size, size)).anchors_over((size, size)), published)


@pytest.mark.parametrize(("family", "size"), [("vgg16_atrous", 300), ("mobilenet_v2_tensorflow", 300)])
@pytest.mark.parametrize("drawn", [280, 332, 400, 500, (350, 280)], ids=str)
def test_inputs_of_a_drawn_size_are_covered_evenly(family: str, size: int, drawn: Size) -> None:
    """One detector trained on several sizes: a cell looks at the same part of the image as its anchors do."""
    network, (height, width) = made(family, size), sides(drawn)
    anchors = network.anchors_over((height, width))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    start = 0
    for (rows, columns), count in zip(
        network.feature_sizes((height, width)), network._num_anchors, strict=True
    ):
        end = start + rows * columns * count
        of_map = centres[start:end].reshape(rows, columns, count, 2)
        x = (torch.arange(columns) + 0.5) * width / columns
        y = (torch.arange(rows) + 0.5) * height / rows
        assert torch.allclose(of_map[..., 0], x[None, :, None].expand(rows, columns, count), atol=1e-3)
        assert torch.allclose(of_map[..., 1], y[:, None, None].expand(rows, columns, count), atol=1e-3)
        start = end
    assert start == len(anchors)


@pytest.mark.parametrize("family", ["vgg16_atrous", "mobilenet_v2"])
@pytest.mark.parametrize("size", [280, 350, 405, 640, 800, (300, 500), (900, 300), (512, 1024)], ids=str)
def test_big_objects_have_an_anchor_at_any_size(family: str, size: Size) -> None:
    boxes, image_size = big_objects(*sides(size)), sides(size)
    assert len(boxes) > 100
    best = pairwise_iou(boxes, made(family, size).anchors_over(image_size)).amax(dim=1)
    assert (best < 0.5).float().mean() <= 0.02


@pytest.mark.parametrize("size", [280, 405, 640, 800, (300, 500), (512, 1024)], ids=str)
def test_cells_cover_the_input_evenly(size: Size) -> None:
    network, (height, width) = made("vgg16_atrous", size), sides(size)
    anchors = network.anchors_over((height, width))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert ((centres > 0) & (centres < torch.tensor([width, height]))).all()
    start = 0
    for (rows, columns), ratios in zip(
        network.feature_sizes((height, width)), network.anchor_ratios, strict=True
    ):
        count = rows * columns * (len(ratios) + 1)
        of_map = centres[start : start + count]
        # The margins left and right, above and below, are half a cell.
        for axis, (side, cells) in enumerate(((width, columns), (height, rows))):
            assert of_map[:, axis].min().item() == pytest.approx(side / cells / 2, rel=1e-5)
            assert of_map[:, axis].max().item() == pytest.approx(side - side / cells / 2, rel=1e-5)
        start += count


def test_sizes_grow_with_the_square_root_of_the_area() -> None:
    published = PRESETS["vgg16_atrous", 512].anchor_sizes
    for size, growth in ((800, 800 / 512), ((400, 900), 600 / 512), ((900, 400), 600 / 512)):
        assert made("vgg16_atrous", size).anchor_sizes == pytest.approx([growth * side for side in published])


def test_given_sizes_are_pixels_of_this_input_unless_said_otherwise() -> None:
    sizes = (21, 45, 99, 153, 207, 261, 315)
    here = made("vgg16_atrous", 400, anchor_sizes=sizes, max_anchor_side=300)
    assert list(here.anchor_sizes) == list(sizes)
    assert here.max_anchor_side == 300
    assert here.anchor_steps[4] == pytest.approx(400 / 5)
    grown = made("vgg16_atrous", 400, anchor_sizes=sizes, max_anchor_side=300, anchors_for=300)
    assert grown.anchor_sizes == pytest.approx([4 / 3 * side for side in sizes])
    assert grown.max_anchor_side == pytest.approx(400)
    same = made("vgg16_atrous", 300, anchor_sizes=sizes, max_anchor_side=300, anchors_for=300)
    assert list(same.anchor_sizes) == list(sizes)
    assert list(same.anchor_steps) == [8, 16, 32, 64, 100, 300]


@pytest.mark.parametrize("size", [128, 200, (96, 160)], ids=str)
def test_the_network_the_loader_and_a_look_without_the_network_have_the_same_anchors(size: Size) -> None:
    height, width = sides(size)

    def network(backbone: TinyBackbone, num_classes: int) -> SSD:
        return build_ssd(backbone, num_classes, size)

    task = SSDTask(TinyBackbone(), network, ["cat"], torch.optim.SGD, Cosine())
    task.eval()
    with torch.no_grad():
        forward = task(torch.zeros(1, 3, height, width, dtype=torch.uint8)).anchors
    assert torch.equal(task.network.anchors_over((height, width)), forward)
    given = torch.tensor([[[8.0, 8, 60, 70]]]), torch.tensor([[0]])
    in_worker = task.assigner(size if isinstance(size, int) else list(size))(*given)
    for ours, theirs in zip(in_worker, task.assign(forward, *given), strict=True):
        assert torch.equal(ours, theirs)
    assert math.isfinite(float(forward.sum()))
