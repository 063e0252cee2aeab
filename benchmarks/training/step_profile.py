"""Where the time of a training step goes, by kind of work, and what the host waits for.

Operations are summed by their own time, on a GPU that of the kernels they start. What no name gives away
(targets, losses, proposals, detections) is the rest.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from torch.profiler import ProfilerActivity, profile, record_function

# The first kind whose words occur in the name of an operation takes its time.
KINDS: dict[str, tuple[str, ...]] = {
    "convolutions, backward": ("convolution_backward",),
    "convolutions, forward": ("convolution", "conv2d", "conv_depthwise"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "linear"),
    "batch norm": ("batch_norm",),
    "activations": ("hardtanh", "relu", "threshold", "clamp_min"),
    "pooling, RoI align, resize": ("pool", "roi_align", "upsample", "interpolate"),
    "optimizer": ("_foreach_", "_fused_", "Optimizer."),
    "copies, casts and layouts": ("copy_", "clone", "contiguous", "aten::cat", "zero_", "fill_"),
}
REST = "all the rest"


def kind_of(operation: str) -> str:
    """The kind of work that an operation of torch is."""
    return next((kind for kind, words in KINDS.items() if any(word in operation for word in words)), REST)


# What CUDA's runtime calls a wait of the host for the device.
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
_STEP = "a training step"


class Profiled(pl.Callback):
    """Profiles the steps after the first ones.

    Args:
        warmup: steps that are not looked at.
        on_gpu: where they run.
    """

    def __init__(self, warmup: int, on_gpu: bool) -> None:
        self.warmup, self.on_gpu = warmup, on_gpu
        self.steps = 0
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
        self._profiler = profile(activities=kinds, acc_events=True)
        self._step: record_function | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin."""
        if batch_idx == self.warmup:
            self._profiler.start()
        if batch_idx >= self.warmup:
            self._step = record_function(_STEP)
            self._step.__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        """End a step."""
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self.steps += 1

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End."""
        self._profiler.stop()

    def microseconds(self) -> Counter[str]:
        """Own time of each operation, all steps together."""
        time = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        # Kernels have rows of their own besides the operations that start them.
        operations = [
            event
            for event in self._profiler.key_averages()
            if event.device_type.name == "CPU" and event.key != _STEP
        ]
        return Counter({event.key: getattr(event, time) for event in operations})

    def waits(self) -> float:
        """How often the host waits for the device in a step, in the mean, without waits of the profiler."""
        return waits_within(self._profiler.events(), _STEP) / self.steps


def waits_within(events: Iterable[Any], step: str) -> int:
    """Count the waits that begin within a step.

    Args:
        events: of a profile, with ``name`` and ``time_range``.
        step: what the events are called that mark the steps.
    """
    events = list(events)
    steps = [event.time_range for event in events if event.name == step]
    return sum(
        event.name in WAITS and any(span.start <= event.time_range.start <= span.end for span in steps)
        for event in events
    )


def by_kind(operations: Counter[str]) -> Counter[str]:
    """The times of operations summed by kind of work."""
    kinds: Counter[str] = Counter()
    for operation, time in operations.items():
        kinds[kind_of(operation)] += time
    return kinds
