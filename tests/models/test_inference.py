"""A network without its training has the arguments of its task that predicting needs, and the defaults."""

import inspect

import pytest
import torch

from detection.models.backbones import TinyBackbone
from detection.models.faster_rcnn_presets import build_faster_rcnn_fpn
from detection.models.inference import FasterRCNNAlone, SSDAlone
from detection.models.ssd import build_ssd
from detection.ops import processor
from detection.registry import ALONE, constructor
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask


@pytest.mark.parametrize(("task", "alone"), [(SSDTask, SSDAlone), (FasterRCNNTask, FasterRCNNAlone)])
def test_a_network_alone_takes_what_its_task_takes(task: type, alone: type) -> None:
    assert constructor(ALONE[f"{task.__module__}.{task.__name__}"]) is alone
    all_arguments = inspect.signature(task).parameters
    for name, parameter in inspect.signature(alone).parameters.items():
        same = all_arguments[name]
        assert (parameter.default, parameter.annotation) == (same.default, same.annotation), name


def ssd_alone() -> SSDAlone:
    torch.manual_seed(0)
    made = SSDAlone(
        TinyBackbone(), lambda backbone, num_classes: build_ssd(backbone, num_classes, 64), ["a", "b"]
    )
    return made.eval()


def test_a_cpu_that_only_predicts_takes_a_few_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ssd, images = ssd_alone(), torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    together = ssd.network(images)
    sizes: list[int] = []
    ssd.network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(processor, "_PIXELS_AT_ONCE", 64 * 64)
    with torch.inference_mode():
        torch.testing.assert_close(ssd.forward(images), together, rtol=1e-4, atol=1e-5)
        assert sizes == [2, 2, 1]
        monkeypatch.setattr(processor, "on_cpu", lambda tensor: False)
        ssd.forward(images)
        assert sizes == [2, 2, 1, 5]
    monkeypatch.undo()
    monkeypatch.setattr(processor, "_PIXELS_AT_ONCE", 1)
    ssd.forward(images)  # gradients may be wanted
    with torch.no_grad():
        ssd.train().forward(images)  # norms look at the whole batch
    assert sizes == [2, 2, 1, 5, 5, 5]


def test_groups_of_one_size_are_parted_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (32, 64, 128, 256)
    network = build_faster_rcnn_fpn(TinyBackbone(), 2, channels=8, dense_channels=8, anchor_sizes=sizes)
    images = [torch.zeros(3, *size) for size in ((64, 64), (60, 64), (32, 64), (64, 64))]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(processor, "_PIXELS_AT_ONCE", 2 * 64 * 64)
    assert network.group_by_padded_size(images) == [[0, 1], [3], [2]]
    monkeypatch.setattr(processor, "on_cpu", lambda tensor: False)
    assert network.group_by_padded_size(images) == [[0, 1, 3], [2]]
