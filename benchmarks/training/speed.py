"""Whole detectors, ours and torchvision's, on the same tensors: parts of what ``benchmarks.gpu`` measures."""

import logging
import math
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra import compose
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.peers import TorchvisionTask, torchvision_of
from detection.cli.compose import checked_config, model_config
from detection.cli.faults import quieten_lightning
from detection.cli.hydra_versions import configurations, instantiate
from detection.tasks.base import DetectionTask
from detection.types import ListBatch, PaddedBatch, Target

CLASSES = [str(i) for i in range(20)]


class Way(NamedTuple):
    """One way to run a network."""

    name: str
    theirs: bool
    channels_last: bool
    compiled: bool
    assigned: bool = False
    """Whether the batch brings an SSD's targets along, as with ``data.targets_in_workers=true``."""


TORCHVISION = Way("torchvision", True, False, False)
OURS = Way("ours, channels last", False, True, False)
ASSIGNED = Way("ours, channels last, targets by the loader", False, True, False, assigned=True)
CONTIGUOUS = Way("ours, contiguous", False, False, False)
COMPILED = Way("ours, channels last, compiled", False, True, True)
CONTIGUOUS_COMPILED = Way("ours, contiguous, compiled", False, False, True)


def make_task(experiment: str, way: Way) -> tuple[DetectionTask, dict[str, Any]]:
    """The task of an experiment with random weights, and its configuration.

    Args:
        experiment: of ``conf/experiment``.
        way: how to run it.
    """
    overrides = [
        f"experiment={experiment}",
        "model.backbone.weights=null",
        f"model.channels_last={way.channels_last}",
        f"model.compile={way.compiled}",
        "run_dir=/nowhere",
        "name=x",
    ]
    with configurations():
        config = checked_config(compose("train", overrides=overrides))
    torch.manual_seed(0)
    task: DetectionTask = instantiate(model_config(config, CLASSES, None))
    if way.theirs:
        task = TorchvisionTask(task, torchvision_of(task, config["data"]["size"]))  # type: ignore[arg-type]
    return task, config


def make_batch(collate: str, size: Any, count: int, device: torch.device) -> PaddedBatch | ListBatch:
    """Images of noise with three objects each.

    Args:
        collate: ``padded`` or ``list``.
        size: ``data.size``.
        count: images.
        device: where the batch is.
    """
    draw = torch.Generator().manual_seed(0)
    height, width = (size, size) if isinstance(size, int) else (size[0], size[0] * 4 // 3)
    images = torch.randint(0, 256, (count, 3, height, width), generator=draw, dtype=torch.uint8).to(device)
    corners = torch.rand(count, 3, 2, generator=draw) * torch.tensor([width, height]) / 2
    boxes = torch.cat((corners, corners * 1.5 + 20), dim=2).to(device)
    labels = torch.randint(0, len(CLASSES), (count, 3), generator=draw).to(device)
    difficult = torch.zeros_like(labels, dtype=torch.bool)
    ids = [str(i) for i in range(count)]
    if collate == "padded":
        sizes = torch.tensor([[height, width]] * count, device=device)
        return PaddedBatch(images, boxes, labels, difficult, sizes, ids)
    targets = [
        Target(
            boxes=boxes[i],
            labels=labels[i],
            difficult=difficult[i],
            image_id=ids[i],
            size=(height, width),
        )
        for i in range(count)
    ]
    return ListBatch(list(images), targets)


class Measure(pl.Callback):
    """Looks at the first two steps, warms up, and times the others as a whole.

    Args:
        warmup: steps that are not timed, two or more.
        look: whether to count operations and waits; not in a compiled network.
        at_most: seconds of timing after which no further step begins.
    """

    def __init__(self, warmup: int, look: bool, at_most: float = math.inf) -> None:
        self.warmup, self.look, self.at_most = warmup, look, at_most
        self.start = self.seconds = 0.0
        self.steps = 0
        """Timed ones."""
        self.flops: int | None = None
        self.waits: int | None = None
        self._looking = ExitStack()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to look, or start the clock."""
        if batch_idx == self.warmup:
            _wait(pl_module.device)
            self.start = time.perf_counter()
        if self.look and batch_idx == 0:
            counts = {torch.ops.aten.convolution_backward: convolution_backward_flops}
            counter = self._looking.enter_context(FlopCounterMode(display=False, custom_mapping=counts))
            self._looking.callback(lambda: setattr(self, "flops", counter.get_total_flops()))
        if self.look and batch_idx == 1 and pl_module.device.type == "cuda":
            caught = self._looking.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            self._looking.callback(lambda: setattr(self, "waits", _waits(caught)))
            self._looking.callback(torch.cuda.set_sync_debug_mode, "default")

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """End to look, or the training."""
        self._looking.close()
        if self.start:
            self.steps += 1
            trainer.should_stop = time.perf_counter() - self.start > self.at_most

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        _wait(pl_module.device)
        self.seconds = time.perf_counter() - self.start


def convolution_backward_flops(
    gradient: Sequence[int], image: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Operations of a convolution's backward pass, from shapes; torch counts too many for depthwise ones."""
    needed: Sequence[bool] = rest[-1]  # the gradients of image, weight and bias
    forward: int = 2 * math.prod(gradient) * math.prod(weight[1:])
    return forward * (needed[0] + needed[1])


def _waits(caught: Sequence[warnings.WarningMessage]) -> int:
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fit(
    task: DetectionTask, batch: Any, precision: Any, device: str, steps: int, callback: pl.Callback
) -> None:
    """Train on one batch that lies on the device already, again and again."""
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_steps=steps,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    batches: Any = [batch] * steps
    trainer.fit(task, DataLoader(batches, batch_size=None))


def predict_speed(
    task: DetectionTask, batch: Any, autocast: Any, warmup: int, steps: int, at_most: float = math.inf
) -> float:
    """Images per second of detection, from the batch on the device to final boxes.

    Args:
        task: on the device of the batch.
        batch: the images.
        autocast: a context that sets the precision.
        warmup: passes that are not timed.
        steps: timed passes, at most.
        at_most: seconds of timing after which no further pass begins.
    """
    task.eval()
    with torch.inference_mode(), autocast:
        for _ in range(warmup):
            task.predict_step(batch)
        _wait(batch.images[0].device)
        start, done = time.perf_counter(), 0
        while done < steps and time.perf_counter() - start <= at_most:
            task.predict_step(batch)
            done += 1
        _wait(batch.images[0].device)
    return done * len(batch.images) / (time.perf_counter() - start)


def matmul_flops(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations per second of a large matrix product: what the device can do at most, in practice.

    In float32 as convolutions compute, on a GPU in TF32 unless that is switched off.
    """
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if torch.backends.cudnn.allow_tf32 else before)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        for _ in range(3):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - start) / 3)
    torch.set_float32_matmul_precision(before)
    return 2 * side**3 / best


def quiet() -> None:
    """No notices of Lightning's between the rows."""
    quieten_lightning()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
