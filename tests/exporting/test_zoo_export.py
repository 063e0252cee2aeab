"""Every published name exports, and the file finds what the network finds: at its size, random weights."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detection.data.transforms import faster_rcnn_eval_transform, ssd_eval_transform
from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX, IN_TORCH
from detection.exporting.runners import open_exported, open_torch
from detection.exporting.verification import Scene, agree, generated_scenes, plain_scene, row, verify
from detection.exporting.writers import write_onnx, write_torch
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.models.zoo import MODEL_NAMES, get_model
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask

MakeTask = Callable[..., DetectionTask]
Spread = Callable[[SSD | FasterRCNN, Tensor, float], None]


def size_of(name: str) -> int | list[int]:
    if name.startswith("ssd"):
        return int(re.findall(r"\d+", name)[0])
    return [300, 500] if "mobilenet" in name else [600, 1000]


def scenes_of(size: int | list[int]) -> list[Scene]:
    transform = ssd_eval_transform(size) if isinstance(size, int) else faster_rcnn_eval_transform(size)

    def prepare(image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Tensor:
        nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return transform(image, *nothing).image

    return [*generated_scenes(3, 0, prepare), plain_scene(prepare)]


@torch.no_grad()
def normalise(network: SSD | FasterRCNN, image: Tensor) -> None:
    """Give the backbone's norms the statistics of this image, as training would.

    With those of a fresh network the signal of a deep MobileNet fades to 1e-9, and predictors scaled up from
    there would show nothing but rounding.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        norm.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))  # type: ignore[operator]
        norm.running_var.copy_(inputs[0].var(dim=(0, 2, 3), unbiased=False))  # type: ignore[operator]

    norms = [layer for layer in network.backbone.modules() if hasattr(layer, "running_var")]
    hooks = [layer.register_forward_pre_hook(measure) for layer in norms]
    network.backbone((image.unsqueeze(0).float() - network.mean) / network.std)
    for hook in hooks:
        hook.remove()


@torch.inference_mode()
def best_two(task: DetectionTask, image: Tensor) -> list[float]:
    """The scores of the two best detections."""
    if isinstance(task, SSDTask):
        found = task.select(task(image.unsqueeze(0)), (image.shape[1], image.shape[2]))[0]
    else:
        assert isinstance(task, FasterRCNNTask)
        found = task.select(task.network([image]))[0]
    return [*found["scores"][:2].tolist(), 0.0, 0.0][:2]


def threshold_for_zero_and_one(scores: Sequence[Sequence[float]]) -> float:
    """Above all of one image's scores, between the best two of another, below the two best of a third."""
    candidates = []
    for i, (best, second) in enumerate(scores):
        threshold = (best + second) / 2
        others = [pair for j, pair in enumerate(scores) if j != i]
        if any(first < threshold for first, _ in others) and any(last > threshold for _, last in others):
            candidates.append((best - second, threshold))
    assert candidates, scores
    return max(candidates)[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_export_of_a_published_model(
    make_task: MakeTask, spread_scores: Spread, tmp_path: Path, name: str
) -> None:
    """``..._voc`` with many detections, ``..._custom`` with a threshold that leaves none, one and a few."""
    torch.manual_seed(1)
    custom = name.endswith("custom")
    network = get_model(name, num_classes=3 if custom else 20, pretrained_backbone=False).eval()
    size = size_of(name)
    scenes = scenes_of(size)
    if "mobilenet_v3" in name:  # of others enough is left, and of plain colour fewer scores are equal
        normalise(network, scenes[0].image)
    spread_scores(network, scenes[0].image, 2.0)
    task = make_task(network, size)
    if custom:
        threshold = threshold_for_zero_and_one([best_two(task, scene.image) for scene in scenes])
        task = make_task(network, size, score_threshold=threshold)

    program = build_program(task, IN_ONNX, "uint8")
    write_onnx(program, tmp_path / "model.onnx", {"name": name})
    results = list(verify(task, open_exported(tmp_path / "model.onnx"), scenes))
    if custom:
        write_torch(build_program(task, IN_TORCH, "uint8"), tmp_path / "model.pt2", {"name": name})
        results += verify(task, open_torch(tmp_path / "model.pt2"), scenes)
    assert agree(results), "\n".join(row(result) for result in results)
    counts = {result.difference.file_count for result in results}
    if custom:
        assert {0, 1} <= counts
    assert max(counts) > (1 if custom else 20)
    assert {result.batch for result in results} == {1, 3}
