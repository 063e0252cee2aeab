"""What is measured on a GPU, dearest answers first, and what each piece of it finds."""

import argparse
import gc
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from benchmarks.training.speed import (
    ASSIGNED,
    COMPILED,
    CONTIGUOUS,
    CONTIGUOUS_COMPILED,
    OURS,
    TORCHVISION,
    Measure,
    Way,
    fit,
    make_batch,
    make_task,
    matmul_flops,
    predict_speed,
)
from benchmarks.training.step_profile import Profiled, by_kind
from detection.tasks.base import DetectionTask
from detection.types import AnchorTargets, ListBatch, PaddedBatch

FLOAT32, BF16 = "32-true", "bf16-mixed"
TYPES = {FLOAT32: torch.float32, BF16: torch.bfloat16}
LARGER = 4
"""How many times the images of a step the larger batch has."""


class Work(NamedTuple):
    """One piece of work: a detector, run in one way."""

    experiment: str
    precision: str
    way: Way
    batch: int
    tuned: bool = False
    """Whether cuDNN tries its algorithms (``trainer.benchmark=true``)."""
    profiled: bool = False
    """Whether to see where the time of a step goes, and not how long it takes."""

    @property
    def name(self) -> str:
        """The way, with what else is not as usual."""
        words = [self.way.name, *["cuDNN tuned"] * self.tuned, *["profile"] * self.profiled]
        return ", ".join(words)


def work_of(options: argparse.Namespace) -> list[Work]:
    """All work, by what its answer is worth: first the target, then each network beside its peer.

    Args:
        options: of the command.
    """
    first, others = options.experiments[:1], options.experiments[1:]
    tiers: list[tuple[Sequence[str], Sequence[str], Sequence[Way], dict[str, Any]]] = [
        (first, (BF16,), (TORCHVISION, OURS, ASSIGNED), {}),
        (first, (BF16,), (ASSIGNED,), {"profiled": True}),
        (first, (FLOAT32,), (TORCHVISION, OURS), {}),
        (others, (BF16, FLOAT32), (TORCHVISION, OURS), {}),
        (first, (BF16,), (TORCHVISION, OURS), {"tuned": True}),
        (first, (BF16,), (TORCHVISION, OURS, ASSIGNED), {"larger": LARGER}),
        (first, (BF16,), (COMPILED,), {}),
        (others, (BF16,), (OURS,), {"profiled": True}),
        (others, (BF16,), (COMPILED,), {}),
        (options.experiments, (BF16, FLOAT32), (CONTIGUOUS,), {}),
        (options.experiments, (FLOAT32,), (COMPILED,), {}),
        (options.experiments, (BF16, FLOAT32), (CONTIGUOUS_COMPILED,), {}),
    ]
    found = []
    for experiments, precisions, ways, how in tiers:
        for experiment in experiments:
            batch = batch_of(experiment, options) * how.get("larger", 1)
            rest = {key: value for key, value in how.items() if key != "larger"}
            for precision in precisions:
                found += [Work(experiment, precision, way, batch, **rest) for way in ways]
    return [work for work in found if _possible(work, options)]


def batch_of(experiment: str, options: argparse.Namespace) -> int:
    """Images of a step: as asked for, otherwise 32 of an SSD and 8 of a Faster R-CNN."""
    return options.batch or (8 if _two_stages(experiment) else 32)


def _two_stages(experiment: str) -> bool:
    return "faster_rcnn" in experiment


def _possible(work: Work, options: argparse.Namespace) -> bool:
    refused = work.way.compiled and options.device == "cpu"
    if _two_stages(work.experiment) and (work.way.assigned or refused):
        return False
    return options.compile or not work.way.compiled


class Bench:
    """Does one piece of work after the other, and knows what later ones need of earlier ones.

    Args:
        options: of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.ceilings = {
            precision: matmul_flops(self.device, dtype, options.matmul) for precision, dtype in TYPES.items()
        }
        """Operations per second of a matrix product, by precision."""
        self._flops: dict[str, float] = {}  # of a training image, by experiment
        self._of_peer: dict[tuple[Any, ...], float] = {}

    def rows(self, work: Work) -> Iterator[dict[str, Any]]:
        """Measure.

        Args:
            work: what to do.
        """
        about = {**work._asdict(), "way": work.name}
        del about["tuned"], about["profiled"]
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = work.tuned
        try:
            for found in self._profile(work) if work.profiled else self._speeds(work):
                yield {**about, **found}
        finally:
            torch.backends.cudnn.benchmark = before
            gc.collect()
            if work.way.compiled:
                torch.compiler.reset()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _speeds(self, work: Work) -> Iterator[dict[str, Any]]:
        options = self.options
        task, batch = self._task_and_batch(work)
        seen = Measure(options.warmup, look=not work.way.compiled, at_most=options.seconds)
        fit(task, batch, work.precision, options.device, options.warmup + options.steps, seen)
        speed = seen.steps * work.batch / seen.seconds
        if seen.flops:  # a compiled network computes what it did before
            self._flops.setdefault(work.experiment, seen.flops / work.batch)
        flops = self._flops.get(work.experiment)
        found = {
            "work": "training",
            **self._beside_peer(work, "training", speed),
            "of_matmul": flops and flops * speed / self.ceilings[work.precision],
            "waits": seen.waits,
        }
        if self.device.type == "cuda":
            found["memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        yield found
        if not work.way.assigned:  # a detection asks for no targets
            context: Any = nullcontext()
            if work.precision != FLOAT32:
                context = torch.autocast(self.device.type, TYPES[work.precision])
            how = options.warmup, options.steps, options.seconds
            speed = predict_speed(task.to(self.device), batch, context, *how)
            yield {"work": "inference", **self._beside_peer(work, "inference", speed)}

    def _beside_peer(self, work: Work, what: str, speed: float) -> dict[str, Any]:
        key = (work.experiment, work.precision, work.batch, work.tuned, what)
        if work.way.theirs:
            self._of_peer[key] = speed
        peer = self._of_peer.get(key)
        return {"images_per_second": speed, "ratio": peer and speed / peer}

    def _profile(self, work: Work) -> Iterator[dict[str, Any]]:
        task, batch = self._task_and_batch(work)
        seen = Profiled(self.options.warmup, on_gpu=self.device.type == "cuda")
        steps = self.options.warmup + min(5, self.options.steps)
        fit(task, batch, work.precision, self.options.device, steps, seen)
        images = seen.steps * work.batch
        kinds = by_kind(seen.microseconds()).most_common()
        milliseconds = {kind: time / images / 1000 for kind, time in kinds}
        waits = seen.waits() if self.device.type == "cuda" else None
        yield {"work": "profile", "waits": waits, "ms_per_image": milliseconds}

    def _task_and_batch(self, work: Work) -> tuple[DetectionTask, PaddedBatch | ListBatch]:
        task, config = make_task(work.experiment, work.way)
        size = config["data"]["size"]
        batch = make_batch(config["data"]["collate"], size, work.batch, self.device)
        if work.way.assigned:
            assert isinstance(batch, PaddedBatch)
            assigned = task.assigner(size)(batch.boxes.cpu(), batch.labels.cpu())
            batch = batch._replace(targets=AnchorTargets(*(x.to(self.device) for x in assigned)))
        return task, batch
