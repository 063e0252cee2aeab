"""Where the time of a training step goes, by kind of work.

    python -m benchmarks.training.step_profile --experiments ssd_300_vgg16_atrous_voc     # on the GPU
    python -m benchmarks.training.step_profile --device cpu --batch 16 --steps 5 \
        --experiments ssd_300_mobilenet_v2_voc07 faster_rcnn_fpn_mobilenet_v2_voc07

Operations are summed by their own time, on a GPU that of the kernels they start. What no name gives away
(targets, losses, proposals, detections) is the rest; its dearest operations are listed.
"""

import argparse
from collections import Counter
from typing import Any

import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.training.speed import Way, fit, make_batch, make_task, options, quiet

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


class Profiled(pl.Callback):
    """Profiles the steps after the first ones.

    Args:
        warmup: steps that are not looked at.
        on_gpu: where they run.
    """

    def __init__(self, warmup: int, on_gpu: bool) -> None:
        self.warmup, self.on_gpu = warmup, on_gpu
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
        self._profiler = profile(activities=kinds, acc_events=True)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin."""
        if batch_idx == self.warmup:
            self._profiler.start()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End."""
        self._profiler.stop()

    def microseconds(self) -> Counter[str]:
        """Own time of each operation, all steps together."""
        time = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        return Counter({event.key: getattr(event, time) for event in self._profiler.key_averages()})


def by_kind(operations: Counter[str]) -> Counter[str]:
    """The times of operations summed by kind of work."""
    kinds: Counter[str] = Counter()
    for operation, time in operations.items():
        kinds[kind_of(operation)] += time
    return kinds


def run(arguments: argparse.Namespace, precision: str) -> dict[str, dict[str, float]]:
    """Profile and print.

    Args:
        arguments: as of speed.py.
        precision: of the steps.

    Returns:
        For each experiment the milliseconds per image of each kind of work.
    """
    quiet()
    found = {}
    images = arguments.steps * arguments.batch
    for experiment in arguments.experiments:
        task, config = make_task(experiment, Way("ours", theirs=False, channels_last=True, compiled=False))
        device = torch.device(arguments.device)
        batch = make_batch(config["data"]["collate"], config["data"]["size"], arguments.batch, device)
        seen = Profiled(arguments.warmup, on_gpu=arguments.device == "cuda")
        fit(task, batch, precision, arguments.device, arguments.warmup + arguments.steps, seen)
        operations = seen.microseconds()
        print_table(experiment, operations, images)
        found[experiment] = {kind: time / images / 1000 for kind, time in by_kind(operations).items()}
    return found


def print_table(experiment: str, operations: Counter[str], images: int) -> None:
    """Print milliseconds per image and shares, and the dearest operations of the rest."""
    whole = operations.total()
    print(f"\n{experiment}: {whole / images / 1000:.1f} ms per image")
    for kind, time in by_kind(operations).most_common():
        print(f"  {kind:28}{time / images / 1000:8.2f} ms{time / whole:8.1%}")
    rest = Counter({name: time for name, time in operations.items() if kind_of(name) == REST})
    print("  dearest of the rest: ", end="")
    print(", ".join(f"{name} {time / whole:.1%}" for name, time in rest.most_common(6)), flush=True)


if __name__ == "__main__":
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, parents=[options()])
    parser.add_argument("--precision", default="bf16-mixed")
    words = parser.parse_args()
    run(words, words.precision)
