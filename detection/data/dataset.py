"""Annotated images as a dataset, whatever format they were written in."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from detection.data.classes import (
    OtherClasses,
    declared_classes,
    found_classes,
    refuse_misspelt,
    say_left_out,
    select_classes,
)
from detection.data.formats.judging import judged
from detection.data.formats.records import ObjectRecord, Reading
from detection.data.formats.usable import OnError, say_warnings, usable_records
from detection.data.image_files import ImageError, decode_image, refuse_another_size
from detection.system.wording import counted, some_of
from detection.types import Sample, Target

_ALL_SUCH = "python -m detection.check finds all such images, and data.on_error=skip leaves them out"


class SampleTransform(Protocol):
    """From a decoded image and its objects to the network's input."""

    def seed(self, seed: int) -> None:
        """Fix the random state of the next call."""

    def __call__(
        self,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        labels: NDArray[np.int64],
        difficult: NDArray[np.bool_],
    ) -> tuple[Tensor, NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Takes the image as ``(H, W, 3)`` and returns it as uint8 ``(3, H', W')``, with its objects."""


def with_objects(
    target: Target,
    image: Tensor,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    difficult: NDArray[np.bool_],
) -> Sample:
    """A sample: what a transform returns, and the rest of its image's target.

    Areas are those of the annotation, so they go where a transform of one's own has dropped objects.
    """
    objects = {
        "boxes": torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.as_tensor(labels, dtype=torch.int64),
        "difficult": torch.as_tensor(difficult, dtype=torch.bool),
    }
    sample: Target = {**target, **objects}  # type: ignore[typeddict-item]
    if "areas" in sample and len(sample["areas"]) != len(labels):
        del sample["areas"]
    return Sample(image, sample)


def classes_of(readings: Iterable[Reading], on_error: OnError = "raise") -> list[str]:
    """The class names of a set: those that its files declare, or else those that objects have, sorted.

    Args:
        readings: of all splits.
        on_error: see `DetectionDataset`.

    Raises:
        FileNotFoundError: part of the set is missing.
        ValueError: something is wrong with the set, or there is no object.
    """
    readings = list(readings)
    usable = [record for reading in readings for record in usable_records(reading, on_error)[0]]
    return declared_classes(readings) or found_classes(usable)


def _area(item: ObjectRecord) -> float:
    x1, y1, x2, y2 = item.box
    return (x2 - x1) * (y2 - y1) if item.area is None else item.area


class DetectionDataset(Dataset[Sample]):
    """Images and the objects in them.

    Args:
        reading: what the files of the split say.
        classes: names in the order of the labels; objects match regardless of case. None takes the names that
            the files declare, or else those found in the data, sorted.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        on_error: what becomes of images with errors: ``raise`` refuses the split, ``skip`` leaves them out.

    Raises:
        FileNotFoundError: part of the set is missing.
        ValueError: something is wrong with the set, an object has another class, or names are not distinct.
    """

    def __init__(
        self,
        reading: Reading,
        classes: Sequence[str] | None = None,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        on_error: OnError = "raise",
    ) -> None:
        reading, self._on_error = judged(reading), on_error
        records, self.problems = usable_records(reading, on_error)
        """And what is wrong with each image that was left out when the annotations were read."""
        if classes is None:
            classes = reading.classes or found_classes(records)
        self.transform = transform
        self.decode: Callable[[Path, bool], NDArray[np.uint8]] = decode_image
        """Reads an image's pixels, given ``upright``; a cache of decoded images takes its place."""
        self.classes = tuple(name.strip() for name in classes)
        """Class names, in the order of the labels."""
        self.category_ids = reading.category_ids
        """COCO's numbers of its classes, by name; empty for other formats."""
        selected, self.left_out = select_classes(records, self.classes, other_classes)
        left_out = [say_left_out(self.left_out)] if self.left_out else []
        self.notes = [*reading.notes, *left_out, *say_warnings(reading)]
        """What the user should know about how the data was read."""
        self.image_ids = [record.image_id for record in selected]
        """Name of each image, unique in the set."""
        self.sizes = [record.size for record in selected]
        """``(height, width)`` of each image on disk."""
        self._paths = [record.file for record in selected]
        self._sources = [record.source for record in selected]
        self.upright = np.array([record.upright for record in selected], dtype=np.bool_)
        """Whether each image is turned as its EXIF orientation asks."""
        # The objects of all images end to end, in few large arrays: workers share their memory, while a
        # million small Python objects would be copied by each worker that looks at them.
        labels = {name: label for label, name in enumerate(self.classes)}
        objects = [item for record in selected for item in record.objects]
        self._boxes = np.array([item.box for item in objects], dtype=np.float32).reshape(-1, 4)
        self._labels = np.array([labels[item.name] for item in objects], dtype=np.int64)
        self._difficult = np.array([item.difficult for item in objects], dtype=np.bool_)
        self._areas = np.array([_area(item) for item in objects], dtype=np.float32)
        self._ends = np.cumsum([0, *(len(record.objects) for record in selected)])
        self.unusable = torch.zeros(len(selected), dtype=torch.bool).share_memory_()
        """Images that turned out to be unusable when they were wanted; the loader's workers write here."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image.

        Raises:
            ImageError: the file cannot be decoded, or is not of the size that its annotation was made for.
        """
        image, target = self.load(index)
        if self.transform is None:
            return Sample(torch.from_numpy(image).permute(2, 0, 1).contiguous(), target)
        objects = target["boxes"].numpy(), target["labels"].numpy(), target["difficult"].numpy()
        return with_objects(target, *self.transform(image, *objects))

    def load(self, index: int) -> tuple[NDArray[np.uint8], Target]:
        """Decodes one image, ``(H, W, 3)``, and leaves it as it is; see ``__getitem__``."""
        return self._read_image(index), self.annotation(index)

    @property
    def paths(self) -> list[str]:
        """File of each image."""
        return self._paths[: len(self)]

    def annotation(self, index: int) -> Target:
        """Returns one image's objects in the pixels of the file, without decoding it."""
        index = range(len(self))[index]
        rows = slice(self._ends[index], self._ends[index + 1])
        return Target(
            boxes=torch.from_numpy(self._boxes[rows].copy()),
            labels=torch.from_numpy(self._labels[rows].copy()),
            difficult=torch.from_numpy(self._difficult[rows].copy()),
            image_id=self.image_ids[index],
            size=self.sizes[index],
            areas=torch.from_numpy(self._areas[rows].copy()),
        )

    def problem(self, index: int) -> str:
        """Says what is wrong with an image that turned out to be unusable."""
        try:
            self._read_image(index)
        except ImageError as error:
            return str(error)
        return f"{self._paths[index]} could not be read for a time, and now can be: is its disk reliable?"

    def num_objects(self, difficult: bool) -> int:
        """Counts the objects of all images; without difficult ones, those that an evaluation looks for."""
        rows = slice(0, self._ends[len(self)])
        return len(self._labels[rows]) if difficult else int((~self._difficult[rows]).sum())

    def objects_by_class(self) -> dict[str, int]:
        """Counts what an evaluation looks for, by class: the objects that are not difficult."""
        rows = slice(0, self._ends[len(self)])
        counts = np.bincount(self._labels[rows][~self._difficult[rows]], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def classes_in_images(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which classes each image has, difficult objects included: indices, and a label for each of them."""
        counts = np.diff(self._ends[: len(self) + 1])
        images = np.arange(len(self)).repeat(counts)
        pairs = np.unique(np.stack((images, self._labels[: len(images)])), axis=1)
        return pairs[0], pairs[1]

    def fingerprint(self) -> str:
        """Tells other images or annotations from the same ones, wherever they lie: 16 hexadecimal digits."""
        count, objects = len(self), self._ends[len(self)]
        names = "\0".join(os.path.basename(path) for path in self.paths)
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape"))
        for part in (self._boxes, self._labels, self._difficult):
            digest.update(part[:objects].tobytes())
        digest.update(np.array(self.sizes, dtype=np.int64).tobytes())
        digest.update(self._ends[: count + 1].tobytes())
        return digest.hexdigest()[:16]

    def seed(self, seed: int) -> None:
        """Fixes the random state of the next sample's transform."""
        if self.transform is not None:
            self.transform.seed(seed)

    def first(self, count: int) -> Self:
        """Returns a dataset of the first images alone, with the same classes.

        Raises:
            ValueError: there are not so many.
        """
        if not 1 <= count <= len(self):
            raise ValueError(
                f"the first {count} of {counted(len(self), 'image')} are wanted: take 1 to {len(self)}"
            )
        few = copy(self)
        few.image_ids, few.sizes = self.image_ids[:count], self.sizes[:count]
        return few

    def used_classes(self) -> set[str]:
        """The classes that objects have."""
        return {self.classes[label] for label in np.unique(self._labels)}

    def check_training_classes(self) -> None:
        """Notes classes that no object has; a set for validation may well lack some.

        Raises:
            ValueError: objects of nearly the same name as such a class were left out.
        """
        used = self.used_classes()
        refuse_misspelt(self.classes, used, self.left_out)
        unused = [name for name in self.classes if name not in used]
        if unused:
            self.notes.append(f"no object has the class {some_of(unused)}")

    def _read_image(self, index: int) -> NDArray[np.uint8]:
        path, size = Path(self._paths[index]), self.sizes[index]
        try:
            image = self.decode(path, bool(self.upright[index]))
            refuse_another_size(path, image.shape[:2], size, self._sources[index])
        except ImageError as error:
            if self._on_error == "skip":
                raise
            raise ImageError(f"{str(error).rstrip('.')}. {_ALL_SUCH}", error.reason, error.kind) from error
        return image
