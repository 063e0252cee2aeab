"""How the time of each part grows with the work: a table with exponents, and a picture of it.

    OMP_NUM_THREADS=1 python -m benchmarks.growth

Processor time, of processes that a part starts, too. The exponent is the slope of a line through the
logarithms of sizes and times: 1 is twice the time for twice the work. That of the last two sizes alone is
beside it, where what is done once no longer counts. Pairs of boxes within one image are the one thing that
may grow with the square.
``--only images,classes`` measures some, and writes no picture.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.detector_outputs import SIZE, ssd300_anchors
from benchmarks.found_objects import tables
from benchmarks.large_sets import write_coco
from benchmarks.training.speed import OURS, make_task
from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.image_files import decode_image
from detection.data.sampling import TrainSampler
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.losses.multibox import multibox_loss
from detection.metrics.analysis import analyse
from detection.metrics.coco_ap import coco_ap_of_tables
from detection.metrics.voc_ap import voc_ap
from detection.models.ssd import BOX_STDS
from detection.ops.postprocess import select_detections
from detection.report.page import class_table, plain_metrics
from detection.targets.ssd import assign_ssd_targets
from detection.types import Detections, Target

AT_MOST = 1.1
PICTURE = Path("docs/images/growth.png")
IMAGES = (1_000, 3_000, 10_000, 30_000, 100_000)
CLASSES = (20, 50, 100, 200, 500, 1_000)
OBJECTS = (1, 3, 10, 30, 100, 300, 1_000)
SIDES = (300, 450, 600, 850, 1_200)
_ROUNDS = 3
_LEAST = 0.05
"""Seconds of a round: the clock of other processes ticks in hundredths."""
Make = Callable[[int], Callable[[], Any]]
"""From a size to what is timed."""


class Part(NamedTuple):
    """What is measured at several sizes."""

    axis: str
    name: str
    sizes: Sequence[int]
    make: Make
    power: int = 1
    """Of the size that the work is counted in: pixels are the square of a side."""
    pairs: bool = False
    """Whether it compares the boxes of an image with each other, which may grow with the square."""


class Growth(NamedTuple):
    """What was found."""

    part: Part
    seconds: list[float]

    @property
    def work(self) -> list[int]:
        """The sizes, as the work is counted."""
        return [size**self.part.power for size in self.part.sizes]

    @property
    def exponent(self) -> float:
        """Over all sizes."""
        return slope(self.work, self.seconds)

    @property
    def last(self) -> float:
        """Of the last two sizes."""
        return slope(self.work[-2:], self.seconds[-2:])


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of the power of sizes that fits times best, in logarithms."""
    found: float = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return float(found)


def used() -> float:
    """Seconds of the processor that this process and those it started have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measured(part: Part) -> Growth:
    """Time each size, in turns; the least counts, for all else is the machine's."""
    seconds: list[list[float]] = [[] for _ in part.sizes]
    for i, size in enumerate(part.sizes):
        run = part.make(size)
        run()
        for _ in range(_ROUNDS):
            start, count = used(), 0
            while count == 0 or used() - start < _LEAST:
                run()
                count += 1
            seconds[i].append((used() - start) / count)
    return Growth(part, [min(of_size) for of_size in seconds])


def reading(folder: Path) -> Make:
    """COCO's JSON and the headers of its images, anew each time."""

    def make(images: int) -> Callable[[], Any]:
        root = folder / str(images)
        write_coco(root, images)
        return lambda: DetectionDataset(read_coco(root / "images", root / "train.json"))

    return make


def sampling(images: int) -> Callable[[], Any]:
    """The order of one epoch."""
    return partial(TrainSampler(images, seed=0).whole_steps, 32)


def metric_of_images(images: int) -> Callable[[], Any]:
    return partial(voc_ap, *tables(20, images), 20)


def loss_of_classes(classes: int) -> Callable[[], Any]:
    """Cross entropy with hard negatives and its gradient, two images."""
    draw = torch.Generator().manual_seed(0)
    anchors = ssd300_anchors()
    logits = torch.randn(2, len(anchors), classes + 1, generator=draw).requires_grad_()
    deltas = torch.randn(2, len(anchors), 4, generator=draw).requires_grad_()
    boxes, labels = boxes_of(5, draw), torch.randint(0, classes, (2, 5), generator=draw)
    targets = assign_ssd_targets(anchors, boxes.expand(2, -1, -1), labels)

    def run() -> None:
        logits.grad = deltas.grad = None
        multibox_loss(logits, deltas, *targets).total.backward()

    return run


def boxes_of(count: int, draw: torch.Generator) -> torch.Tensor:
    """``(1, count, 4)`` boxes of all sizes in 300 x 300 pixels."""
    sides = 20 + torch.rand(1, count, 2, generator=draw) * 200
    corners = torch.rand(1, count, 2, generator=draw) * (300 - sides)
    return torch.cat((corners, corners + sides), dim=2)


def suppression_of_classes(classes: int) -> Callable[[], Any]:
    """From the logits of a trained SSD to detections, two images."""
    draw = torch.Generator().manual_seed(0)
    anchors = ssd300_anchors()
    logits = torch.randn(2, len(anchors), classes + 1, generator=draw)
    logits[..., 0] += 10 + math.log(classes / 20)
    for image in range(2):
        found = torch.randperm(len(anchors), generator=draw)[:340]
        logits[image, found, torch.randint(1, classes + 1, (340,), generator=draw)] += 10
    deltas = torch.randn(2, len(anchors), 4, generator=draw)
    return partial(select_detections, logits, deltas, anchors, SIZE, BOX_STDS)


def voc_of_classes(classes: int) -> Callable[[], Any]:
    return partial(voc_ap, *tables(20, classes=classes), classes)


def coco_of_classes(classes: int) -> Callable[[], Any]:
    return partial(coco_ap_of_tables, *tables(20, 500, classes), classes)


def report_of_classes(classes: int) -> Callable[[], Any]:
    """All of a report's figures, 500 images, and its table."""
    found, gt = tables(20, 500, classes)
    detections = [
        Detections(
            boxes=torch.from_numpy(found.boxes[found.images == i]),
            scores=torch.from_numpy(found.scores[found.images == i]),
            labels=torch.from_numpy(found.labels[found.images == i]),
        )
        for i in range(500)
    ]
    targets = [
        Target(
            boxes=torch.from_numpy(gt.boxes[gt.images == i]),
            labels=torch.from_numpy(gt.labels[gt.images == i]),
            difficult=torch.from_numpy(gt.difficult[gt.images == i]),
            image_id=str(i),
            size=(375, 500),
        )
        for i in range(500)
    ]
    names = [f"class {i}" for i in range(classes)]

    def run() -> None:
        analysis = analyse(detections, targets, classes, with_coco=False)
        plain_metrics(analysis, names)
        class_table(analysis, names)

    return run


def targets_of_objects(objects: int) -> Callable[[], Any]:
    """Objects to anchors, two images."""
    draw = torch.Generator().manual_seed(0)
    boxes, labels = boxes_of(objects, draw), torch.randint(0, 20, (2, objects), generator=draw)
    return partial(assign_ssd_targets, ssd300_anchors(), boxes.expand(2, -1, -1), labels)


def augmentation_of_objects(objects: int) -> Callable[[], Any]:
    """SSD's training transform."""
    draw = torch.Generator().manual_seed(0)
    transform = ssd_train_transform(300)
    image = np.full((300, 300, 3), 127, np.uint8)
    boxes = boxes_of(objects, draw)[0].numpy()
    labels, difficult = np.zeros(objects, np.int64), np.zeros(objects, bool)

    def run() -> None:
        for seed in range(10):
            transform.seed(seed)
            transform(image, boxes, labels, difficult)

    return run


def metric_of_objects(objects: int) -> Callable[[], Any]:
    """100 images with as many detections as objects."""
    return partial(voc_ap, *tables(objects, 100, 20, objects), 20)


def network_of_pixels(side: int) -> Callable[[], Any]:
    """SSD on MobileNetV2 in evaluation."""
    network = make_task("ssd_300_mobilenet_v2_voc07", OURS)[0].eval()
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    return torch.inference_mode()(partial(network, images))


def sample_of_pixels(side: int) -> Callable[[], Any]:
    """A JPEG of so many pixels decoded and made the network's input of as many."""
    noise = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8), (9, 9), 0
    )
    jpeg = bytes(cv2.imencode(".jpg", noise)[1])
    transform = ssd_eval_transform(side)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    return lambda: transform(decode_image(jpeg, upright=True), *nothing)


def parts(folder: Path) -> list[Part]:
    """All that is measured."""
    return [
        Part("images", "index: reading COCO's JSON", IMAGES, reading(folder)),
        Part("images", "sampler: an epoch's order", IMAGES, sampling),
        Part("images", "VOC AP", IMAGES, metric_of_images),
        Part("classes", "SSD's loss", CLASSES, loss_of_classes),
        Part("classes", "SSD's detections, NMS", CLASSES, suppression_of_classes),
        Part("classes", "VOC AP", CLASSES, voc_of_classes),
        Part("classes", "COCO AP", CLASSES, coco_of_classes),
        Part("classes", "report's figures", CLASSES, report_of_classes),
        Part("objects of an image", "SSD's targets", OBJECTS, targets_of_objects, pairs=True),
        Part("objects of an image", "augmentation", OBJECTS, augmentation_of_objects),
        Part("objects of an image", "VOC AP", OBJECTS, metric_of_objects, pairs=True),
        Part("pixels of an image", "network: SSD MobileNetV2", SIDES, network_of_pixels, power=2),
        Part("pixels of an image", "sample: decoding, resizing", SIDES, sample_of_pixels, power=2),
    ]


def line_of(growth: Growth) -> str:
    """A row of the Markdown table."""
    part = growth.part
    least, most = (f"{1000 * value:,.3g}" for value in (growth.seconds[0], growth.seconds[-1]))
    over = f"{part.sizes[0]:,} to {part.sizes[-1]:,}{'²' if part.power == 2 else ''}"
    met = "pairs" if part.pairs else "yes" if growth.exponent <= AT_MOST else "NO"
    exponents = f"{growth.exponent:.2f} | {growth.last:.2f}"
    return f"| {part.axis}, {over} | {part.name} | {least} | {most} | {exponents} | {met} |"


def draw(found: Sequence[Growth], path: Path) -> None:
    """Draw times over sizes, a panel for each axis, with the line of exponent 1.

    Args:
        found: of all parts.
        path: of the picture.
    """
    axes = list(dict.fromkeys(growth.part.axis for growth in found))
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    for panel, axis in zip(figure.subplots(2, 2).flat, axes, strict=True):
        of_axis = [growth for growth in found if growth.part.axis == axis]
        for growth in of_axis:
            label = f"{growth.part.name}: {growth.exponent:.2f}"
            panel.plot(growth.work, [1000 * value for value in growth.seconds], marker="o", label=label)
        first = of_axis[0].work
        least = 1000 * min(growth.seconds[0] for growth in of_axis)
        panel.plot(
            [first[0], first[-1]],
            [least, least * first[-1] / first[0]],
            color="0.6",
            linestyle="--",
            label="exponent 1",
        )
        panel.set(xscale="log", yscale="log", xlabel=axis, ylabel="ms of the processor")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print the table and draw the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help="names of axes, separated by commas: images, classes, objects, pixels")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    print("| size | part | ms, least | ms, most | exponent | of the last two | at most 1.1 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for part in parts(Path(folder)):
            if only is None or part.axis.split()[0] in only.split(","):
                found.append(measured(part))
                print(line_of(found[-1]), flush=True)
    if only is None:
        draw(found, PICTURE)


if __name__ == "__main__":
    main()
