"""VOC 2007's train learned on a GPU, from COCO and from ImageNet, and evaluated on val.

    python -m benchmarks.gpu finetune --coco ssd_mobilenet_v2_coco/ --imagenet mobilenet_v2.pth data.root=...

``--coco`` has TensorFlow's SSD on MobileNetV2 as ``init_from=tensorflow/ssd_mobilenet_v2_coco:...`` takes it,
``--imagenet`` the weights of torchvision's MobileNetV2. First the detector that knows COCO is fine-tuned for
as long as experiment=finetune has it; then SSD is trained from ImageNet's weights for 120 and, if the minutes
allow, for 300 epochs (40 on two cores: docs/measured.md). A training is made shorter where it does not fit,
and passed over where less than half of it would. Words KEY=VALUE are overrides for all of them.
``--rehearse`` needs neither weights nor data: generated images, one epoch, a CPU.
"""

import argparse
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.record import Clock, Record, device_name, named
from benchmarks.training.few_images import IMAGENET, from_coco
from benchmarks.training.run import Replace, configuration, train_one
from benchmarks.training.speed import quiet
from detection.benchmarking.measure import measure_loader
from detection.cli.compose import make_data_and_task

_RESERVE = 1.25  # the last evaluation, the workers' start, and a rate that was measured under other work
_SHORTEST = 0.5  # of its epochs: a training that is cut more says little


class Training(NamedTuple):
    """One training."""

    name: str
    overrides: list[str]
    epochs: int
    replace: Replace | None


def trainings(options: argparse.Namespace) -> list[Training]:
    """What is trained, what is worth most first.

    Args:
        options: of the command.
    """
    # The settings for photographs of COCO's classes; see docs/measured.md.
    finetune = ["experiment=finetune", "model.backbone.frozen_blocks=14", "callbacks.wise_ft.alpha=0.6"]
    scratch = [*IMAGENET, f"model.backbone.weights={options.imagenet or 'null'}"]
    if options.rehearse:
        nothing = [*finetune[:2], "init_from=null", "callbacks=[default]"]
        toy = ["data=shapes", "data.num_train=32", "data.num_val=4", "data.num_test=1", "trainer=cpu"]
        return [Training(name, [*words, *toy], 1, None) for name, words in (("a", nothing), ("b", scratch))]
    coco = [*finetune, "data=voc07", f"init_from=tensorflow/ssd_mobilenet_v2_coco:{options.coco}"]
    both = ["trainer=gpu", "trainer.precision=bf16-mixed", "data.batch_size=32", "data.cache=ram"]
    # Steps of so small a network wait for the host: what it can do before, workers do.
    both += ["data.targets_in_workers=true", f"data.num_workers={options.workers}"]
    return [
        Training("fine-tuned from COCO", [*coco, *both], 8, from_coco),
        *(Training("from ImageNet", [*scratch, *both], epochs, None) for epochs in (120, 300)),
    ]


def fitting(training: Training, images: int, per_second: float, left: float) -> int:
    """How many epochs of a training fit, at most those that it wants; 0 where it would be cut too much.

    Args:
        training: which.
        images: of an epoch.
        per_second: images that were trained in a second.
        left: seconds.
    """
    epochs = min(training.epochs, int(left / _RESERVE * per_second / images))
    return epochs if epochs >= _SHORTEST * training.epochs else 0


def main(words: Sequence[str]) -> None:
    """Train what fits, print each result, and keep it under ``runs/gpu_finetune``."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu finetune", description=__doc__, formatter_class=style
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--coco", help="folder or file of TensorFlow's weights")
    parser.add_argument("--imagenet", help="file of torchvision's weights")
    parser.add_argument("--minutes", type=float, default=8, help="8 by default, from here on")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_intermixed_args(words)
    if not options.rehearse and not (options.coco and options.imagenet):
        parser.error("give --coco and --imagenet, or --rehearse")
    clock = Clock(options.minutes)
    quiet()
    about = {"on": device_name("cpu" if options.rehearse else "cuda"), "overrides": options.overrides}
    record = Record("gpu_finetune", about)
    all_ = [
        training._replace(overrides=[*training.overrides, *options.overrides])
        for training in trainings(options)
    ]
    datamodule, _ = make_data_and_task(configuration(all_[0].overrides, seed=0))
    loading = measure_loader(datamodule.train_dataloader(), 1, 1 if options.rehearse else 50)
    rate, images = loading.images_per_second, len(datamodule.datasets["train"])
    record.add({"work": "loader", "images_per_second": rate}, f"loader: {rate:.0f} images/s")
    for training in all_:
        epochs = fitting(training, images, rate, clock.left)
        if not epochs:
            print(
                f"{training.name}, {training.epochs} epochs: would not fit into {options.minutes:g} minutes."
            )
            continue
        found = train_one([*training.overrides, f"trainer.max_epochs={epochs}"], 0, training.replace)
        rate = images * epochs / (60 * found["minutes"])
        line = named((name, f"{value:.3f}") for name, value in found.items())
        row: dict[str, Any] = {"work": training.name, "epochs": epochs, **found}
        record.add(row, f"{training.name}, {epochs} epochs: {line}")
    print(f"Kept in {record.path}")
