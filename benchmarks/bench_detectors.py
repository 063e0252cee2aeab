"""Rows 24 to 26: whole detectors on a CPU, beside torchvision's classes on the same MobileNetV2."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.bench_steps import our_step, sgd
from benchmarks.harness import Benchmark, Result, timed
from benchmarks.training.speed import Way, make_batch, make_task, quiet
from detection.models.backbones.folding import fold_for_good
from detection.tasks.base import DetectionTask

_BATCH = 8
_OURS = Way("ours", theirs=False, channels_last=True, compiled=False)
_THEIRS = Way("torchvision", theirs=True, channels_last=False, compiled=False)


def ssd_inference() -> Iterator[Result]:
    """Row 24."""
    yield from _inference(
        "24", "SSD-300 MobileNetV2 inference, batch 8", "ssd_300_mobilenet_v2_voc07", 1.5, 1.5
    )


def faster_rcnn_inference() -> Iterator[Result]:
    """Row 25."""
    work = "Faster R-CNN FPN MobileNetV2 inference, batch 8"
    yield from _inference("25", work, "faster_rcnn_fpn_mobilenet_v2_voc07", 1.3, 1.5)


def faster_rcnn_training() -> Iterator[Result]:
    """Row 26."""
    (ours, theirs), batch = _both("faster_rcnn_fpn_mobilenet_v2_voc07")
    steps = []
    for task in (ours, theirs):
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        task.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
        steps.append(partial(our_step, task.train(), batch, sgd(task), torch.bfloat16))
    work = "Faster R-CNN FPN MobileNetV2 training step, batch 8, both in bf16"
    yield timed("26", work, steps[0], steps[1], at_most=1 / 1.5, rounds=5)


def _inference(row: str, work: str, experiment: str, target: float, target_bf16: float) -> Iterator[Result]:
    """From a batch of uint8 images to its detections.

    Args:
        row: its number.
        work: what is done, in words.
        experiment: of ``conf/experiment``.
        target: how many times as fast as torchvision's, in float32.
        target_bf16: in bfloat16.
    """
    (ours, theirs), batch = _both(experiment)
    fold_for_good(ours.eval())  # as `detection.load` and the commands that predict and evaluate do
    for name, times in (("float32", target), ("bf16", target_bf16)):
        first, second = (partial(_detect, task.eval(), batch, name == "bf16") for task in (ours, theirs))
        yield timed(row, f"{work}, both in {name}", first, second, at_most=1 / times, rounds=7)


def _both(experiment: str) -> tuple[tuple[DetectionTask, DetectionTask], Any]:
    """Our task, torchvision's on the same features, and a batch of noise."""
    quiet()
    (ours, config), (theirs, _) = (make_task(experiment, way) for way in (_OURS, _THEIRS))
    data = config["data"]
    return (ours, theirs), make_batch(data["collate"], data["size"], _BATCH, torch.device("cpu"))


def _detect(task: DetectionTask, batch: Any, half: bool) -> None:
    precision: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with torch.inference_mode(), precision:
        found = task.predict_step(batch)
    assert len(found) == _BATCH


ROWS: dict[str, Benchmark] = {
    "24": ssd_inference,
    "25": faster_rcnn_inference,
    "26": faster_rcnn_training,
}
