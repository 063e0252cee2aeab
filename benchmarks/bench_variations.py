"""Row 19: what variations of training cost, against the recipe's own sample of the same image."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2

from benchmarks.bench_samples import dataset_of
from benchmarks.harness import Benchmark, Result, timed
from benchmarks.pictures import photographs
from detection.data.cache import ImageCache
from detection.data.dataset import DetectionDataset
from detection.data.stepped import Step, SteppedKey
from detection.data.transforms import faster_rcnn_train_transform, ssd_train_transform
from detection.data.varied import VariedDataset, VariedTransform

_PICTURES, _SAMPLES = 48, 16
_MOSAIC = {"mosaic_probability": 1.0}


def varied(dataset: DetectionDataset) -> Callable[[], None]:
    """Give the next samples of a dataset, each with a seed of its own, as the loader does."""
    transform, number = dataset.transform, iter(range(10**9))
    made = VariedDataset(dataset, transform) if isinstance(transform, VariedTransform) else None

    def serve() -> None:
        for _ in range(_SAMPLES):
            seed = next(number)
            index = seed % len(dataset)
            if made is not None:
                made[SteppedKey((index, seed), Step(seed, 0.0))]
            else:
                dataset.seed(seed)
                dataset[index]

    return serve


def variations() -> Iterator[Result]:
    """Row 19."""
    cv2.setNumThreads(0)
    ssd = partial(ssd_train_transform, 300)
    faster_rcnn = partial(faster_rcnn_train_transform, (600, 1000))
    with photographs(_PICTURES) as records, tempfile.TemporaryDirectory() as folder:
        for work, make, options, cached, at_most in (
            ("mosaic of SSD, images decoded (data.cache)", ssd, _MOSAIC, True, 2.2),
            ("mosaic of SSD, from JPEGs", ssd, _MOSAIC, False, 2.2),
            ("mosaic of Faster R-CNN, images decoded", faster_rcnn, _MOSAIC, True, 2.2),
            ("mosaic of Faster R-CNN, from JPEGs", faster_rcnn, _MOSAIC, False, 2.2),
            ("mixup of SSD, from JPEGs", ssd, {"mixup_probability": 1.0}, False, 2.2),
            ("copy-paste of SSD, from JPEGs", ssd, {"copy_paste_probability": 1.0}, False, 2.2),
            ("erasing of SSD, from JPEGs", ssd, {"erase_probability": 1.0}, False, 2.2),
            ("tiles of SSD, from JPEGs", ssd, {"tiles": 200}, False, 1.2),
        ):
            sides = dataset_of(records, make(**options)), dataset_of(records, make())
            for side in sides if cached else ():
                side.decode = ImageCache(Path(folder))
            yield timed("19", work, varied(sides[0]), varied(sides[1]), at_most, rounds=21)


ROWS: dict[str, Benchmark] = {"19": variations}
