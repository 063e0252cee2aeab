"""What eight bits cost and bring: mAP, size and time of two exported files, in the same run."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from detection.data.dataset import DetectionDataset
from detection.exporting.runners import Runner, detections_of, open_onnx
from detection.metrics.voc_map import Interpolation, VOCMeanAP
from detection.ops.boxes import scale_boxes
from detection.system.progress import Tracker

_TIMED_RUNS = 30


class Measured(NamedTuple):
    """Of one file."""

    megabytes: float
    mean_ap: float
    milliseconds: float
    """Median for one image, on one thread."""


def measure(paths: Sequence[Path], dataset: DetectionDataset, interpolation: Interpolation) -> list[Measured]:
    """Measure several ONNX files of one detector on the same images.

    Args:
        paths: the files.
        dataset: with the detector's transform; all its images are used.
        interpolation: of VOC's average precision.
    """
    # One thread each: several would wait for one another wherever the machine has other work.
    runners = [open_onnx(path, threads=1) for path in paths]
    times = _times(runners, dataset)
    means = _mean_aps(runners, dataset, interpolation)
    sizes = [path.stat().st_size / 1e6 for path in paths]
    return [Measured(*values) for values in zip(sizes, means, times, strict=True)]


def _mean_aps(
    runners: Sequence[Runner], dataset: DetectionDataset, interpolation: Interpolation
) -> list[float]:
    metrics = [VOCMeanAP(len(dataset.classes), interpolation) for _ in runners]
    with Tracker("images", len(dataset)) as tracker:
        for row in range(len(dataset)):
            image, target = dataset[row].image, dataset.annotation(row)
            size = (image.shape[1], image.shape[2])
            for run, metric in zip(runners, metrics, strict=True):
                found = detections_of(run(image.unsqueeze(0).numpy()), 0)
                found["boxes"] = scale_boxes(found["boxes"], size, target["size"])
                metric.update([found], [target])
            tracker.advance(1)
    return [float(metric.compute()["map"]) for metric in metrics]


def _times(runners: Sequence[Runner], dataset: DetectionDataset) -> list[float]:
    """Median milliseconds per image; the files take turns, so that other load hits them alike."""
    images: list[np.ndarray] = [
        dataset[row % len(dataset)].image.unsqueeze(0).numpy() for row in range(_TIMED_RUNS)
    ]
    seconds: list[list[float]] = [[] for _ in runners]
    for image in images:
        for run, taken in zip(runners, seconds, strict=True):
            started = time.perf_counter()
            run(image)
            taken.append(time.perf_counter() - started)
    return [1000 * median(taken[3:]) for taken in seconds]
