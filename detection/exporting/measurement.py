"""What an export costs and brings: size, mAP and time of the network and of its files, in the same run."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detection.data.dataset import DetectionDataset
from detection.exporting.runners import detections_of, open_exported, open_torch
from detection.exporting.writers import files_of
from detection.metrics.voc_map import VOCMeanAP
from detection.ops.boxes import scale_boxes
from detection.system.progress import Tracker
from detection.tasks.base import DetectionTask
from detection.types import Detections, Sample

_TIMED_RUNS = 60
_WARM_UP = 5

Detect = Callable[[Sample], Detections]
"""From an input, and the size of its original image in the target, to detections in original pixels."""


class Measured(NamedTuple):
    """Of the network, or of one file."""

    name: str
    megabytes: float
    mean_ap: float
    median: float
    """Milliseconds for one image on one thread, suppression included."""
    slow: float
    """The same, 95th percentile."""


def measure(
    task: DetectionTask,
    collate: Callable[[Sequence[Sample]], Any],
    paths: Sequence[Path],
    dataset: DetectionDataset,
) -> list[Measured]:
    """Measure a network, and the files that were made of it, on the same images.

    Args:
        task: the network, on the CPU.
        collate: makes its batches.
        paths: the files.
        dataset: with the detector's transform; all its images are used.

    Returns:
        PyTorch's own first, then those of the files.
    """
    detectors: dict[str, Detect] = {"PyTorch": _network(task, collate)}
    megabytes = [sum(p.numel() * p.element_size() for p in task.network.parameters()) / 1e6]
    for path in paths:
        detectors[path.name] = _file(path)
        megabytes.append(sum(file.stat().st_size for file in files_of(path)) / 1e6)
    times = _times(detectors, dataset)
    means = _mean_aps(detectors, dataset, task.hparams["model"].get("interpolation", "07"))
    return [
        Measured(name, size, mean, *taken)
        for name, size, mean, taken in zip(detectors, megabytes, means, times, strict=True)
    ]


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """The measurements in lines; how many times as fast is meant against the first row."""
    yield f"{'':28} {'MB':>8} {'mAP':>7} {'ms/image':>9} {'95 %':>7}   times as fast"
    for row in rows:
        name = row.name if len(row.name) <= 28 else f"...{row.name[-25:]}"
        yield (
            f"{name:28} {row.megabytes:8.1f} {100 * row.mean_ap:7.2f} {row.median:9.1f} {row.slow:7.1f}   "
            f"{rows[0].median / row.median:.2f}"
        )


def _network(task: DetectionTask, collate: Callable[[Sequence[Sample]], Any]) -> Detect:
    def detect(sample: Sample) -> Detections:
        with torch.inference_mode():
            return task.predict_step(collate([sample]))[0]

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


def _mean_aps(detectors: Mapping[str, Detect], dataset: DetectionDataset, interpolation: Any) -> list[float]:
    metrics = [VOCMeanAP(len(dataset.classes), interpolation) for _ in detectors]
    with Tracker("images", len(dataset)) as tracker:
        for row in range(len(dataset)):
            sample, target = dataset[row], dataset.annotation(row)
            for detect, metric in zip(detectors.values(), metrics, strict=True):
                metric.update([detect(sample)], [target])
            tracker.advance(1)
    return [float(metric.compute()["map"]) for metric in metrics]


def _times(detectors: Mapping[str, Detect], dataset: DetectionDataset) -> list[tuple[float, float]]:
    """Milliseconds per image, median and 95th percentile; they take turns, so other load hits all alike."""
    samples = [dataset[row % len(dataset)] for row in range(min(_TIMED_RUNS, len(dataset)))]
    milliseconds = np.zeros((_TIMED_RUNS, len(detectors)))
    with _one_thread():
        for turn in range(_TIMED_RUNS):
            for column, detect in enumerate(detectors.values()):
                started = time.perf_counter()
                detect(samples[turn % len(samples)])
                milliseconds[turn, column] = 1000 * (time.perf_counter() - started)
    warm = milliseconds[_WARM_UP:]
    return list(zip(np.median(warm, axis=0).tolist(), np.percentile(warm, 95, axis=0).tolist(), strict=True))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
