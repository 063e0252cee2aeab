"""The programs that are exported find exactly what the networks' own post-processing finds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX, IN_TORCH, Primitives
from detection.exporting.runners import detections_of
from detection.models.backbones import ResNetBackbone, TinyBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import SSD, build_ssd
from detection.tasks.base import DetectionTask
from detection.types import Detections

Spread = Callable[[SSD | FasterRCNN, Tensor, float], None]
MakeTask = Callable[..., DetectionTask]


def images(count: int, height: int, width: int) -> Tensor:
    """Blurred noise, so that cells differ."""
    small = torch.rand(count, 3, 7, 7, generator=torch.Generator().manual_seed(3)) * 255
    return torch.nn.functional.interpolate(small, (height, width), mode="bilinear").to(torch.uint8)


def ssd() -> SSD:
    torch.manual_seed(0)
    return build_ssd(TinyBackbone(), 3, 128).eval()


def c4() -> FasterRCNN:
    torch.manual_seed(0)
    backbone = ResNetBackbone(18, None, strides=(16,))
    return build_faster_rcnn_c4(
        backbone, 3, rpn_channels=32, pre_nms_top=(60, 60), post_nms_top=(20, 20), pooled_size=4
    ).eval()


def fpn(**options: Any) -> FasterRCNN:
    torch.manual_seed(0)
    return build_faster_rcnn_fpn(
        TinyBackbone(),
        3,
        channels=16,
        dense_channels=32,
        anchor_sizes=(16, 32, 64, 128),
        pre_nms_top=(80, 80),
        post_nms_top=(30, 30),
        canonical_size=64,
        **options,
    ).eval()


def run(task: DetectionTask, batch: Tensor, primitives: Primitives) -> list[Detections]:
    program = build_program(task, primitives, "uint8")
    with torch.no_grad():
        outputs = {name: values.numpy() for name, values in program.module(batch).items()}
    assert tuple(outputs) == program.outputs
    for i, count in enumerate(outputs["num_detections"]):
        assert (outputs["labels"][i, count:] == -1).all()
        assert (outputs["boxes"][i, count:] == 0).all()
        assert (outputs["scores"][i, count:] == 0).all()
    return [detections_of(outputs, i) for i in range(len(batch))]


def expected(task: DetectionTask, image: Tensor) -> Detections:
    """By the network's own path, alone."""
    with torch.no_grad():
        if isinstance(task.network, SSD):
            out = task.network(image.unsqueeze(0))
            return task.select(out, (image.shape[1], image.shape[2]))[0]
        out = task.network([image])
        return task.select(out)[0]


def assert_same(found: Detections, wanted: Detections) -> None:
    torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=1e-2, rtol=0)
    assert found["labels"].equal(wanted["labels"])


@pytest.mark.parametrize("primitives", [IN_TORCH, IN_ONNX], ids=["torch", "onnx"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("topk_per_class", [False, True])
def test_ssd(
    make_task: MakeTask, spread_scores: Spread, primitives: Primitives, batch: int, topk_per_class: bool
) -> None:
    network, inputs = ssd(), images(batch, 128, 128)
    spread_scores(network, inputs[0], 2.0)
    options = {"topk": 60, "max_detections": 20, "score_threshold": 0.1}
    task = make_task(network, 128, topk_per_class=topk_per_class, **options)
    for found, image in zip(run(task, inputs, primitives), inputs, strict=True):
        assert len(found["scores"]) == 20
        assert_same(found, expected(task, image))


@pytest.mark.parametrize("primitives", [IN_TORCH, IN_ONNX], ids=["torch", "onnx"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(128, 160), (147, 93)], ids=str)
@pytest.mark.parametrize("make", [c4, fpn, lambda: fpn(fit_strides=True)], ids=["c4", "fpn", "fitted"])
def test_faster_rcnn(
    make_task: MakeTask,
    spread_scores: Spread,
    primitives: Primitives,
    batch: int,
    size: tuple[int, int],
    make: Callable[[], FasterRCNN],
) -> None:
    network, inputs = make(), images(batch, *size)
    spread_scores(network, inputs[0], 2.0)
    task = make_task(network, [128, 160], score_threshold=0.05)
    for found, image in zip(run(task, inputs, primitives), inputs, strict=True):
        assert len(found["scores"]) > 5
        assert_same(found, expected(task, image))


@pytest.mark.parametrize("make", [ssd, c4, fpn])
def test_one_detection_and_none(
    make_task: MakeTask, spread_scores: Spread, make: Callable[[], SSD | FasterRCNN]
) -> None:
    network, inputs = make(), images(3, 128, 128)
    spread_scores(network, inputs[0], 2.0)
    size = 128 if isinstance(network, SSD) else [128, 128]
    task = make_task(network, size, score_threshold=0.0)
    best = sorted(expected(task, image)["scores"][:2].tolist() for image in inputs)
    # Above the weakest image's best score, and between the two best of the strongest.
    threshold = max(best[0][0], best[-1][1]) + 1e-6
    task = make_task(network, size, score_threshold=threshold)
    counts = [len(found["scores"]) for found in run(task, inputs, IN_TORCH)]
    assert 0 in counts
    assert 1 in counts
    for found, image in zip(run(task, inputs, IN_TORCH), inputs, strict=True):
        assert_same(found, expected(task, image))


def test_fewer_anchors_and_proposals_than_wanted(make_task: MakeTask, spread_scores: Spread) -> None:
    """No object anywhere for the first stage: its boxes are all too small."""
    network, inputs = fpn(), images(1, 128, 128)
    network.rpn.min_size = 1000
    task = make_task(network, [128, 128])
    assert len(run(task, inputs, IN_TORCH)[0]["scores"]) == 0
    network.rpn.min_size = 1
    network.rpn.pre_nms_top = (5000, 5000)  # more than a level has
    network.rpn.post_nms_top = (5000, 5000)
    spread_scores(network, inputs[0], 2.0)
    task = make_task(network, [128, 128], score_threshold=0.05)
    assert_same(run(task, inputs, IN_TORCH)[0], expected(task, inputs[0]))


def test_an_export_does_not_change_the_task(make_task: MakeTask) -> None:
    network = ssd()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    task = make_task(network, 128)
    program = build_program(task, IN_TORCH, "float32")
    assert program.example.dtype == torch.float32
    assert program.module.network is not network
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
