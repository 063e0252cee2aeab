"""Detectors on timm's models are exported, and the file finds what the network finds."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.data.transforms import faster_rcnn_eval_transform, ssd_eval_transform
from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX, IN_TORCH
from detection.exporting.runners import open_exported, open_torch
from detection.exporting.verification import agree, generated_scenes, row, verify
from detection.exporting.writers import write_onnx, write_torch
from detection.models.backbones import TimmBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import SSD, build_ssd
from detection.tasks.base import DetectionTask
from tests.timm_families import FAMILIES

MakeTask = Callable[..., DetectionTask]
Spread = Callable[[SSD | FasterRCNN, Tensor, float], None]


def network(kind: str, name: str) -> SSD | FasterRCNN:
    torch.manual_seed(0)
    if kind == "ssd":
        return build_ssd(TimmBackbone(name, None), 3, 96).eval()
    if kind == "c4":
        build = partial(build_faster_rcnn_c4, rpn_channels=32, pooled_size=4)
        return build(TimmBackbone(name, None, (16,)), 3, pre_nms_top=(60, 60), post_nms_top=(20, 20)).eval()
    sizes = (32, 64, 128, 256)
    build = partial(build_faster_rcnn_fpn, channels=16, dense_channels=32, anchor_sizes=sizes)
    return build(TimmBackbone(name, None), 3, pre_nms_top=(80, 80), post_nms_top=(30, 30)).eval()


def check(make_task: MakeTask, spread_scores: Spread, path: Path, kind: str, name: str) -> None:
    """Export to the path and compare on two images, by themselves and in a batch."""
    size: int | list[int] = 96 if kind == "ssd" else [96, 160]
    transform = ssd_eval_transform(96) if kind == "ssd" else faster_rcnn_eval_transform([96, 160])

    def prepare(image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Tensor:
        nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return transform(image, *nothing).image

    scenes = generated_scenes(2, 0, prepare)
    detector = network(kind, name)
    spread_scores(detector, scenes[0].image, 2.0)
    task = make_task(detector, size)
    if path.suffix == ".onnx":
        write_onnx(build_program(task, IN_ONNX, "uint8"), path, {"name": name})
        results = list(verify(task, open_exported(path), scenes))
    else:
        write_torch(build_program(task, IN_TORCH, "uint8"), path, {"name": name})
        results = list(verify(task, open_torch(path), scenes))
    assert agree(results), "\n".join(row(result) for result in results)
    assert max(result.difference.file_count for result in results) > 5


@pytest.mark.slow
def test_a_faster_rcnn_as_torch_export(make_task: MakeTask, spread_scores: Spread, tmp_path: Path) -> None:
    check(make_task, spread_scores, tmp_path / "model.pt2", "c4", "resnet10t")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ssd", "fpn"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(
    make_task: MakeTask, spread_scores: Spread, tmp_path: Path, name: str, kind: str
) -> None:
    if (name, kind) == ("swin_tiny_patch4_window7_224", "fpn"):  # torch's exporter fixes its windows
        with pytest.raises(ValueError, match="would take images of one size only"):
            check(make_task, spread_scores, tmp_path / "model.onnx", kind, name)
        return
    check(make_task, spread_scores, tmp_path / "model.onnx", kind, name)
