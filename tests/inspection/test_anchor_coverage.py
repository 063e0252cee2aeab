"""Anchor coverage against a loop over all anchors and objects."""

import json
import shlex
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from detection.data.formats.records import Box, ImageRecord, ObjectRecord
from detection.inspection.coverage import Size, anchor_settings, anchors_for, measure_coverage
from detection.inspection.images import InspectedImage
from detection.models.backbones.mobilenet import MobileNetV2Backbone
from detection.models.backbones.tiny import TinyBackbone
from detection.models.described_anchors import anchors_in_numbers
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_fpn
from detection.models.ssd import SSD, build_ssd
from detection.models.zoo import get_model


def image(size: Size, boxes: list[Box], names: list[str]) -> InspectedImage:
    objects = tuple(ObjectRecord(name, box, False) for box, name in zip(boxes, names, strict=True))
    record = ImageRecord("a", "a.jpg", size, objects, "a.xml")
    return InspectedImage("train", record, record, None)


def random_images(count: int = 5) -> list[InspectedImage]:
    rng = np.random.default_rng(3)
    images = []
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(100, 200, 2))
        corners = np.sort(rng.uniform(0, 1, (4, 2, 2)), axis=1) * (width, height)
        boxes: list[Box] = [(x1, y1, x2, y2) for (x1, y1), (x2, y2) in corners.tolist()]
        images.append(image((height, width), boxes, ["cat", "dog", "dog", "dog"]))
    return images


def naive_best_iou(box: Box, anchors: list[list[float]]) -> float:
    best = 0.0
    for x1, y1, x2, y2 in anchors:
        width = min(x2, box[2]) - max(x1, box[0])
        height = min(y2, box[3]) - max(y1, box[1])
        if width > 0 and height > 0:
            union = (x2 - x1) * (y2 - y1) + (box[2] - box[0]) * (box[3] - box[1]) - width * height
            best = max(best, width * height / union)
    return best


def test_best_iou_agrees_with_a_loop_over_all_pairs() -> None:
    images = random_images()
    x, y = torch.rand(2, 60) * 100
    anchors = torch.stack((x, y, x + 40, y + 25), dim=1)
    coverage = measure_coverage(
        images, ["cat", "dog"], lambda size: (120, 90), lambda size: anchors, (0.5, 0.3)
    )
    expected = []
    for item in images:
        (height, width), boxes = item.record.size, [entry.box for entry in item.record.objects]
        for x1, y1, x2, y2 in boxes:
            scaled = (x1 * 90 / width, y1 * 120 / height, x2 * 90 / width, y2 * 120 / height)
            side = ((scaled[2] - scaled[0]) * (scaled[3] - scaled[1])) ** 0.5
            expected.append((naive_best_iou(scaled, anchors.tolist()), side))
    best, sides = zip(*expected, strict=True)
    np.testing.assert_allclose(coverage.best_iou, best, atol=1e-5)
    np.testing.assert_allclose(coverage.sides, sides, rtol=1e-5)
    below = [tuple(sum(value < bound for value in best) for bound in (0.5, 0.3))]
    assert [coverage.total()[1]] == below
    assert [(name, count) for name, count, _ in coverage.by_class()] == [("cat", 5), ("dog", 15)]
    assert sum(under[0] for *_, under in coverage.by_class()) == below[0][0]
    assert sum(under[1] for *_, under in coverage.by_side()) == below[0][1]


def test_images_of_every_size_meet_their_own_anchors() -> None:
    """An anchor that is exactly the object of its image, and another size's anchor is not."""
    sizes: list[Size] = [(100, 120), (80, 60), (100, 120)]
    images = [image(size, [(10, 10, 50, 40)], ["cat"]) for size in sizes]

    def anchors(size: Size) -> torch.Tensor:
        return torch.tensor([[10.0, 10, 50, 40]]) if size == (80, 60) else torch.zeros(0, 4)

    coverage = measure_coverage(images, ["cat"], lambda size: size, anchors, (0.5,))
    assert sorted(coverage.best_iou.tolist()) == [0, 0, 1]


def test_no_objects_are_no_error() -> None:
    coverage = measure_coverage(
        [image((9, 9), [], [])], ["cat"], lambda size: size, lambda _: torch.ones(1, 4), (0.5,)
    )
    assert coverage.total() == (0, (0,))
    assert coverage.by_class() == []


def test_ssd_anchors_are_those_of_its_forward_pass() -> None:
    network = get_model("ssd_300_mobilenet1.0_voc", pretrained_backbone=False)
    assert isinstance(network, SSD)
    network.eval()
    with torch.no_grad():
        expected = network(torch.zeros(1, 3, 300, 300, dtype=torch.uint8)).anchors
    torch.testing.assert_close(anchors_for(network)((300, 300)), expected)


@pytest.mark.parametrize("inside_only", [False, True])
def test_rpn_anchors_are_those_of_its_forward_pass(inside_only: bool) -> None:
    network = get_model("faster_rcnn_fpn_mobilenet_v2_voc", pretrained_backbone=False)
    assert isinstance(network, FasterRCNN)
    network.eval()
    with torch.no_grad():
        expected = network([torch.zeros(3, 150, 200, dtype=torch.uint8)]).rpn.anchors
    if inside_only:
        kept = [
            row for row in expected.tolist() if row[0] >= 0 and row[1] >= 0 and row[2] < 200 and row[3] < 150
        ]
        expected = torch.tensor(kept)
    torch.testing.assert_close(anchors_for(network, inside_only)((150, 200)), expected)


def numbers_of(words: str, plus: bool) -> dict[str, Any]:
    """The arguments that words of a command line set, all of which have a ``+`` or none."""
    prefix = f"{'+' if plus else ''}model.network."
    assert all(word.startswith(prefix) for word in shlex.split(words))
    pairs = (word.removeprefix(prefix).partition("=") for word in shlex.split(words))
    return {name: json.loads(value) for name, _, value in pairs}


@pytest.mark.parametrize("size", [(150, 300), (200, 333), 300])
def test_the_anchors_in_force_are_words_that_make_them_again(size: Any) -> None:
    backbone = (
        TinyBackbone() if size != 300 else MobileNetV2Backbone(None, strides=(16, 32))
    )  # whose largest anchor is cut
    image = (size, size) if isinstance(size, int) else size
    build: Any = partial(build_ssd, size=size)
    network = build(backbone=backbone, num_classes=1)
    numbers = numbers_of(anchor_settings(build, network), plus=True)
    again = build(backbone=backbone, num_classes=1, **numbers)
    assert anchors_in_numbers(again) == anchors_in_numbers(network)
    assert torch.equal(again.anchors_over(image), network.anchors_over(image))


def test_anchors_of_another_size_do_not_grow_twice() -> None:
    backbone, size = MobileNetV2Backbone(None, strides=(16, 32)), (333, 517)
    build: Any = partial(build_ssd, size=size, anchors_for=260)
    network = build(backbone=backbone, num_classes=1)
    words = shlex.split(anchor_settings(build, network))
    assert "model.network.anchors_for=null" in words
    pairs = [word.removeprefix("+").removeprefix("model.network.").partition("=") for word in words]
    numbers: Any = {name: json.loads(value) for name, _, value in pairs}
    again = build(backbone=backbone, num_classes=1, **numbers)
    assert torch.equal(again.anchors_over(size), network.anchors_over(size))


def test_faster_rcnns_anchors_are_those_of_its_builder_and_of_the_configuration() -> None:
    network = get_model("faster_rcnn_fpn_mobilenet_v2_voc", pretrained_backbone=False)
    assert isinstance(network, FasterRCNN)
    sizes, ratios = [16, 64.5, 128, 256.123456789, 512], [1 / 3, 1, 3]
    build: Any = partial(build_faster_rcnn_fpn, anchor_sizes=sizes, anchor_ratios=ratios)
    assert numbers_of(anchor_settings(build, network), plus=False) == {
        "anchor_sizes": sizes, "anchor_ratios": ratios,
    }  # fmt: skip
    build = partial(build_faster_rcnn_fpn, anchor_sizes=sizes)
    assert "+model.network.anchor_ratios=[0.5,1,2]" in anchor_settings(build, network)
