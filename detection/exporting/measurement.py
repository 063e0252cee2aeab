"""What an export costs and brings: size, mAP and time of the network and of its files, in the same run."""

import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detection.data.dataset import DetectionDataset
from detection.exporting.runners import detections_of, open_exported, open_torch
from detection.exporting.writers import files_of, quiet
from detection.metrics.coco_ap import coco_ap_of_tables, import_engine
from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import voc_ap
from detection.ops.boxes import scale_boxes
from detection.system.errors import first_line
from detection.system.progress import Tracker
from detection.tasks.base import DetectionTask
from detection.types import Detections, Sample, Target

# Runtimes choose kernels and torch.compile its shapes at the first inputs; these runs are not timed.
_WARM_UP = 5
_LOSS = 1.0  # points of mAP, more than which is told in words

Detect = Callable[[Sample], Detections]
"""From an input, and the size of its original image in the target, to detections in original pixels."""


class MeanAPs(NamedTuple):
    """Shares of 1."""

    voc_07: float
    """VOC, 11 points."""
    voc_area: float
    """VOC, area."""
    coco: float | None
    """COCO, mean over IoU 0.50 to 0.95; None without its engine."""


class Measured(NamedTuple):
    """Of the network, or of one file."""

    name: str
    megabytes: float
    mean_aps: MeanAPs
    median: float
    """Milliseconds for one image on one thread, suppression included."""
    slow: float
    """The same, 95th percentile."""


class Unmeasured(NamedTuple):
    """What cannot be had here."""

    name: str
    reason: str


def measure(
    task: DetectionTask,
    collate: Callable[[Sequence[Sample]], Any],
    paths: Sequence[Path],
    dataset: DetectionDataset,
    in_tiles: Callable[[Detect], Detect] | None = None,
) -> list[Measured | Unmeasured]:
    """Measure a network, and the files that were made of it, on the same images.

    They take turns on each image, so that other load hits all alike.

    Args:
        task: the network, on the CPU.
        collate: makes its batches.
        paths: the files.
        dataset: with the detector's transform; all its images are used.
        in_tiles: given, the images of the set are whole, and this makes each detector look at their tiles.

    Returns:
        PyTorch's own first, compiled by torch.compile next, then the files.
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in task.network.parameters())
    shown = in_tiles or (lambda detect: detect)
    detectors: dict[str, Detect] = {"PyTorch": shown(_network(task, collate))}
    megabytes = {"PyTorch": weights / 1e6, "torch.compile": weights / 1e6}
    with _one_thread():
        compiled = _compiled(task, collate, shown, dataset)
        if isinstance(compiled, Unmeasured):
            unmeasured = [compiled]
        else:
            detectors["torch.compile"], unmeasured = compiled, []
        for path in paths:
            detectors[path.name] = shown(_file(path))
            megabytes[path.name] = sum(file.stat().st_size for file in files_of(path)) / 1e6
        found, milliseconds = _run(detectors, dataset)
    targets = [dataset.annotation(row) for row in range(len(dataset))]
    rows = [
        Measured(
            name,
            megabytes[name],
            _mean_aps(found[name], targets, len(dataset.classes)),
            float(np.median(milliseconds[name])),
            float(np.percentile(milliseconds[name], 95)),
        )
        for name in detectors
    ]
    return [rows[0], *unmeasured, *rows[1:]]


def table(rows: Sequence[Measured | Unmeasured]) -> Iterator[str]:
    """The measurements in lines of 80 columns; the speed is how many times that of the first row."""
    yield f"{'':24} {'MB':>6} {'mAP 07':>6} {'area':>6} {'COCO':>6} {'ms/image':>8} {'95 %':>6} {'speed':>6}"
    base = next(row.median for row in rows if isinstance(row, Measured))
    for row in rows:
        name = row.name if len(row.name) <= 24 else f"...{row.name[-21:]}"
        if isinstance(row, Unmeasured):
            yield f"{name:24} {'-':>6} {row.reason}"
            continue
        means = " ".join(f"{'-' if mean is None else f'{mean:.4f}':>6}" for mean in row.mean_aps)
        times = f"{row.median:8.1f} {row.slow:6.1f} {base / row.median:5.2f}x"
        yield f"{name:24} {row.megabytes:6.1f} {means} {times}"


def losses(rows: Sequence[Measured | Unmeasured]) -> dict[str, float]:
    """The points of mAP (VOC, 11 points) that files lose against the network, where it is more than one.

    Args:
        rows: the measurements, the network's first.

    Returns:
        By the name of the file.
    """
    measured = [row for row in rows if isinstance(row, Measured)]
    lost = {row.name: 100 * (measured[0].mean_aps.voc_07 - row.mean_aps.voc_07) for row in measured}
    return {name: points for name, points in lost.items() if points > _LOSS}


def _network(task: DetectionTask, collate: Callable[[Sequence[Sample]], Any]) -> Detect:
    def detect(sample: Sample) -> Detections:
        with torch.inference_mode():
            return task.predict_step(collate([sample]))[0]

    return detect


def _compiled(
    task: DetectionTask,
    collate: Callable[[Sequence[Sample]], Any],
    shown: Callable[[Detect], Detect],
    dataset: DetectionDataset,
) -> Detect | Unmeasured:
    """The network by torch.compile, compiled, or why it cannot be had."""
    compiler = os.environ.get("CXX", "c++")  # torch's own rule
    if shutil.which(compiler) is None:
        return Unmeasured("torch.compile", f"there is no C++ compiler ({compiler})")
    print("Compiling the network by torch.compile, to compare: a minute or so.", flush=True)
    task = copy.deepcopy(task)
    task.compile_network()
    detect = shown(_network(task, collate))
    try:
        with quiet():
            detect(dataset[0])
    except Exception as error:  # of a compiler, of many kinds; the export itself is done
        return Unmeasured("torch.compile", f"it fails: {first_line(error)}")
    return detect


def _file(path: Path) -> Detect:
    # One thread each: several would wait for one another wherever the machine has other work.
    run = open_torch(path) if path.suffix == ".pt2" else open_exported(path, threads=1)

    def detect(sample: Sample) -> Detections:
        found = detections_of(run(sample.image.unsqueeze(0).numpy()), 0)
        size = (sample.image.shape[1], sample.image.shape[2])
        found["boxes"] = scale_boxes(found["boxes"], size, sample.target["size"])
        return found

    return detect


def _run(
    detectors: Mapping[str, Detect], dataset: DetectionDataset
) -> tuple[dict[str, list[Detections]], dict[str, list[float]]]:
    """What each finds in all images, and the milliseconds of each image."""
    found: dict[str, list[Detections]] = {name: [] for name in detectors}
    milliseconds: dict[str, list[float]] = {name: [] for name in detectors}
    for row in range(_WARM_UP):
        for detect in detectors.values():
            detect(dataset[row % len(dataset)])
    with Tracker("images", len(dataset)) as tracker:
        for row in range(len(dataset)):
            sample = dataset[row]
            for name, detect in detectors.items():
                started = time.perf_counter()
                found[name].append(detect(sample))
                milliseconds[name].append(1000 * (time.perf_counter() - started))
            tracker.advance(1)
    return found, milliseconds


def _mean_aps(found: Sequence[Detections], targets: Sequence[Target], num_classes: int) -> MeanAPs:
    tables = make_tables(found, targets)
    voc = voc_ap(*tables, num_classes)
    try:
        import_engine()
    except ImportError:
        coco = None
    else:
        coco = float(coco_ap_of_tables(*tables, num_classes)["map"])
    return MeanAPs(float(voc.map_07), float(voc.map_area), coco)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
