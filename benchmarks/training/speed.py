"""Whole detectors, ours and torchvision's, on the same tensors: images per second of training and inference.

    python -m benchmarks.training.speed                     # the published networks, on the GPU
    python -m benchmarks.training.speed --device cpu --experiments quickstart --batch 2 --steps 2

For each network: float32 and bfloat16; ours contiguous and channels last, each as it is and compiled (an SSD
also with targets that come with the batch); torchvision's as it comes. The last columns are the ratio to
torchvision's in the same precision, the share of the measured matrix product that the convolutions and
products of the step reach, and how often a step makes the host wait for the device.
"""

import argparse
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.peers import TorchvisionTask, torchvision_of
from detection.cli.compose import CONF, checked_config, model_config
from detection.cli.faults import quieten_lightning
from detection.tasks.base import DetectionTask
from detection.types import AnchorTargets, ListBatch, PaddedBatch, Target

EXPERIMENTS = (
    "ssd_300_vgg16_atrous_voc",
    "ssd_512_resnet50_v1_voc",
    "faster_rcnn_resnet50_v1b_voc",
    "faster_rcnn_fpn_resnet50_v1b_voc",
)
CLASSES = [str(i) for i in range(20)]


class Way(NamedTuple):
    """One way to run a network."""

    name: str
    theirs: bool
    channels_last: bool
    compiled: bool
    assigned: bool = False
    """Whether the batch brings an SSD's targets along, as with ``data.targets_in_workers=true``."""


ASSIGNED = Way("ours, channels last, targets by the loader", False, True, False, assigned=True)
WAYS = (
    Way("torchvision", True, False, False),
    Way("ours, contiguous", False, False, False),
    Way("ours, channels last", False, True, False),
    ASSIGNED,
    Way("ours, contiguous, compiled", False, False, True),
    Way("ours, channels last, compiled", False, True, True),
)


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
    with initialize_config_dir(str(CONF), version_base="1.3"):
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
    """

    def __init__(self, warmup: int, look: bool) -> None:
        self.warmup, self.look = warmup, look
        self.start = self.seconds = 0.0
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

    def on_train_batch_end(self, *_: Any) -> None:
        """End to look."""
        self._looking.close()

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


def predict_speed(task: DetectionTask, batch: Any, autocast: Any, warmup: int, steps: int) -> float:
    """Images per second of detection, from the batch on the device to final boxes."""
    task.eval()
    with torch.inference_mode(), autocast:
        for _ in range(warmup):
            task.predict_step(batch)
        _wait(batch.images[0].device)
        start = time.perf_counter()
        for _ in range(steps):
            task.predict_step(batch)
        _wait(batch.images[0].device)
    return steps * len(batch.images) / (time.perf_counter() - start)


def matmul_flops(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations per second of a large matrix product: what the device can do at most, in practice."""
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        for _ in range(3):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - start) / 3)
    return 2 * side**3 / best


def quiet() -> None:
    """No notices of Lightning's between the rows."""
    quieten_lightning()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per network, precision and way."""
    device = torch.device(arguments.device)
    for experiment in arguments.experiments:
        for precision, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
            ceiling = matmul_flops(device, dtype, arguments.matmul)
            of_peer: dict[str, float] = {}
            flops = 0
            for way in WAYS:
                if way.compiled and not arguments.compile:
                    continue
                task, config = make_task(experiment, way)
                batch = make_batch(config["data"]["collate"], config["data"]["size"], arguments.batch, device)
                if way.assigned:
                    if isinstance(batch, ListBatch):
                        continue
                    assigned = task.assigner(config["data"]["size"])(batch.boxes.cpu(), batch.labels.cpu())
                    batch = batch._replace(targets=AnchorTargets(*(x.to(device) for x in assigned)))
                autocast = torch.autocast(device.type, dtype) if precision != "32-true" else nullcontext()
                seen = Measure(arguments.warmup, look=not way.compiled)
                steps = arguments.steps
                fit(task, batch, precision, arguments.device, arguments.warmup + steps, seen)
                figures = {"training": steps * len(batch.images) / seen.seconds}
                if not way.assigned:  # a detection asks for no targets
                    figures["inference"] = predict_speed(
                        task.to(device), batch, autocast, arguments.warmup, steps
                    )
                flops = seen.flops or flops  # a compiled network computes what it did before
                for what, speed in figures.items():
                    of_peer.setdefault(what, speed)  # torchvision's is the first way
                    yield {
                        "experiment": experiment,
                        "precision": precision,
                        "way": way.name,
                        "work": what,
                        "images_per_second": speed,
                        "ratio": speed / of_peer[what],
                        "of_matmul": flops * speed / len(batch.images) / ceiling
                        if what == "training"
                        else None,
                        "waits": seen.waits if what == "training" else None,
                    }


def options() -> argparse.ArgumentParser:
    """The words that say what to measure, without --help."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--matmul", type=int, default=8192, help="side of the matrix product to compare with")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print and keep ``runs/speed/<date>.json``.

    Returns:
        What is kept.
    """
    quiet()
    on = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    about = {
        "on": on,
        "torch": torch.__version__,
        "batch": arguments.batch,
        "date": time.strftime("%Y-%m-%d"),
    }
    path = Path("runs/speed") / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    print(*(f"{key} {value}" for key, value in about.items()), sep=", ")
    rows: list[dict[str, Any]] = []
    for row in measure(arguments):
        rows.append(row)
        path.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
        share = "" if row["of_matmul"] is None else f"{row['of_matmul']:8.1%}"
        waits = "" if row["waits"] is None else f"{row['waits']:6} waits"
        print(f"{row['experiment']:36}{row['precision']:12}{row['way']:46}{row['work']:10}", end="")
        print(f"{row['images_per_second']:10.1f}/s{row['ratio']:7.2f} x{share}{waits}", flush=True)
    print(f"Kept in {path}")
    return {**about, "rows": rows}


if __name__ == "__main__":
    style = argparse.RawDescriptionHelpFormatter
    run(argparse.ArgumentParser(description=__doc__, formatter_class=style, parents=[options()]).parse_args())
