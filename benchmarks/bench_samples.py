"""Rows 5 and 6: from a JPEG on disk to the network's input and its objects, in one process."""

from collections.abc import Callable, Iterator

import cv2
import torch

from benchmarks.harness import Benchmark, Result, timed
from benchmarks.input_peers import (
    IMAGENET_STD,
    Albumentations,
    TorchvisionSSD,
    albumentations_faster_rcnn_train,
    albumentations_ssd_eval,
    albumentations_ssd_train,
)
from benchmarks.pictures import photographs
from detection.data.dataset import DetectionDataset
from detection.data.formats.records import ImageRecord, Reading
from detection.data.transforms import (
    IMAGENET_MEAN,
    DetectionTransform,
    faster_rcnn_train_transform,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.data.voc import VOC_CLASSES

_PICTURES, _SAMPLES = 48, 16
Serve = Callable[[], None]


def dataset_of(records: list[ImageRecord], transform: DetectionTransform) -> DetectionDataset:
    return DetectionDataset(Reading("the photographs", records=records), VOC_CLASSES, transform)


def ours(records: list[ImageRecord], transform: DetectionTransform, training: bool = True) -> Serve:
    """Give the next samples of our dataset, for training each with a seed of its own."""
    dataset, number = dataset_of(records, transform), iter(range(10**9))

    def serve() -> None:
        for _ in range(_SAMPLES):
            seed = next(number)
            if training:
                dataset.seed(seed)
            dataset[seed % len(dataset)]

    return serve


def peer(dataset: Albumentations | TorchvisionSSD) -> Serve:
    """Give the next samples of a peer, whose random state goes on by itself."""
    number = iter(range(10**9))

    def serve() -> None:
        for _ in range(_SAMPLES):
            dataset[next(number) % len(dataset)]

    return serve


def ssd_training() -> Iterator[Result]:
    """Row 5."""
    cv2.setNumThreads(0)
    work = f"SSD training, {_SAMPLES} samples from JPEGs, against"
    with photographs(_PICTURES) as records:
        mine = ours(records, ssd_train_transform(300))
        for name, other, at_most in (
            ("albumentations float32", peer(albumentations_ssd_train(records)), 0.50),
            ("albumentations uint8", peer(albumentations_ssd_train(records, normalise=False)), 0.50),
            ("torchvision v2", peer(TorchvisionSSD(records)), 0.10),
        ):
            yield timed("5", f"{work} {name}", mine, other, at_most, rounds=21)


def other_samples() -> Iterator[Result]:
    """Row 6. Averaging areas takes OpenCV so long that linear interpolation shows better what is ours."""
    cv2.setNumThreads(0)
    work = f", {_SAMPLES} samples from JPEGs, against albumentations float32"
    with photographs(_PICTURES) as records:
        for name, interpolation in (("linear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA)):
            transform = ssd_eval_transform(300, bilinear=name == "linear")
            mine = ours(records, transform, training=False)
            other = albumentations_ssd_eval(records, interpolation)
            _check_same(dataset_of(records, transform), other)
            yield timed("6", f"SSD evaluation, {name}{work}", mine, peer(other), 0.68, rounds=21)
        mine = ours(records, faster_rcnn_train_transform((600, 1000)))
        theirs = peer(albumentations_faster_rcnn_train(records))
        yield timed("6", f"Faster R-CNN training{work}", mine, theirs, 0.60, rounds=21)


def _check_same(dataset: DetectionDataset, other: Albumentations) -> None:
    """The same pixels, once they are normalised, and the same boxes."""
    (image, target), theirs = dataset[0], other[0]
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (image - mean) / std
    torch.testing.assert_close(normalised, theirs.image, rtol=1e-5, atol=1e-5, check_dtype=False)
    boxes = torch.from_numpy(theirs.boxes)
    torch.testing.assert_close(target["boxes"], boxes, rtol=1e-5, atol=1e-3, check_dtype=False)


ROWS: dict[str, Benchmark] = {"5": ssd_training, "6": other_samples}
