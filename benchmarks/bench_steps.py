"""Rows 12 and 13: whole training steps on a CPU, forward, backward and update."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, ssd300_vgg16
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from benchmarks.harness import Benchmark, Result, timed
from benchmarks.training.peers import images_of, targets_of
from benchmarks.training.speed import Way, make_batch, make_task
from detection.tasks.base import DetectionTask
from detection.types import ListBatch, PaddedBatch

_ROUNDS = 5


def ssd_step() -> Iterator[Result]:
    """Row 12."""
    batch = make_batch("padded", 300, 4, torch.device("cpu"))
    peer = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=21)
    yield from _against(
        "12", "SSD300-VGG16 training step, batch 4", "ssd_300_vgg16_atrous_voc", peer, batch, 0.97, 0.50
    )


def faster_rcnn_step() -> Iterator[Result]:
    """Row 13."""
    batch = make_batch("list", [600, 1000], 1, torch.device("cpu"))
    work = "Faster R-CNN C4 training step, one image of 600x800"
    yield from _against("13", work, "faster_rcnn_resnet50_v1b_voc", _torchvision_c4(), batch, 0.85, 0.53)


def _against(
    row: str,
    work: str,
    experiment: str,
    peer: nn.Module,
    batch: PaddedBatch | ListBatch,
    at_most: float,
    at_most_bf16: float,
) -> Iterator[Result]:
    task, _ = make_task(experiment, Way("ours", theirs=False, channels_last=True, compiled=False))
    theirs = partial(_their_step, peer.train(), images_of(batch), targets_of(batch), sgd(peer))
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    task.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    task.train()
    optimizer = sgd(task)
    ratio = _trainable(task) / _trainable(peer)  # their boxes have a class more, the background
    assert 0.999 < ratio <= 1, "the two do not freeze the same"
    for name, precision, limit in (("float32", None, at_most), ("bf16", torch.bfloat16, at_most_bf16)):
        ours = partial(our_step, task, batch, optimizer, precision)
        yield timed(row, f"{work}, ours in {name}, theirs in float32", ours, theirs, limit, rounds=_ROUNDS)


def our_step(
    task: DetectionTask, batch: Any, optimizer: torch.optim.Optimizer, precision: torch.dtype | None
) -> None:
    """One training step of a task of ours, or of torchvision's as one.

    Args:
        task: in training, with a trainer.
        batch: as its loader gives it.
        optimizer: of its parameters.
        precision: of the forward pass; None for float32.
    """
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        loss = task.training_step(batch, 0)
        assert isinstance(loss, Tensor)
    _update(loss, optimizer)


def _their_step(
    peer: Callable[..., dict[str, Tensor]],
    images: list[Tensor],
    targets: list[dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
) -> None:
    _update(torch.stack(list(peer(images, targets).values())).sum(), optimizer)


def _update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    assert loss.isfinite()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """An optimizer of what a module trains."""
    # A step too small to change what is computed: random weights must not diverge while they are timed.
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-9, momentum=0.9)


def _trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class _Layers(nn.Module):
    """conv1 to layer3 of a ResNet, as torchvision's detector wants its features."""

    out_channels = 1024

    def __init__(self, resnet: Any) -> None:
        super().__init__()
        stem = (resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layers = nn.Sequential(*stem, resnet.layer1, resnet.layer2, resnet.layer3)
        self.layers[:5].requires_grad_(False)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        return OrderedDict({"0": self.layers(images)})


class _Layer4(nn.Module):
    def __init__(self, resnet: Any) -> None:
        super().__init__()
        self.layer4 = resnet.layer4

    def forward(self, pooled: Tensor) -> Tensor:
        features: Tensor = self.layer4(pooled).mean(dim=(2, 3))
        return features


def _torchvision_c4() -> FasterRCNN:
    """The published network made of torchvision's parts."""
    resnet = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    return FasterRCNN(
        _Layers(resnet),
        min_size=600,
        max_size=1000,
        rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),)),
        rpn_pre_nms_top_n_train=12000,
        rpn_post_nms_top_n_train=2000,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=14, sampling_ratio=2),
        box_head=_Layer4(resnet),
        box_predictor=FastRCNNPredictor(2048, 21),
        box_batch_size_per_image=128,
    )


ROWS: dict[str, Benchmark] = {"12": ssd_step, "13": faster_rcnn_step}
