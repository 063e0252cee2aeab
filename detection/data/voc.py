"""PASCAL VOC, and any folder in its layout, as a dataset."""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from detection.data.annotation import VOCObject
from detection.data.index import load_index
from detection.types import Sample, Target

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
VOC0712_TRAINVAL = ((2007, "trainval"), (2012, "trainval"))
# What the devkits hold; an incomplete copy would silently change every published comparison.
OFFICIAL_COUNTS = {VOC0712_TRAINVAL: 16551, ((2007, "test"),): 4952}

Split = str | Sequence[int | str]
"""``(year, split)``, ``(folder, split)``, or a split's name where the root itself is a VOC-style folder."""


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


class _Image(NamedTuple):
    path: Path
    size: tuple[int, int]
    objects: tuple[VOCObject, ...]


class VOCDetection(Dataset[Sample]):
    """Images and boxes of VOC-style folders.

    A VOC-style folder holds ``Annotations/<id>.xml``, ``JPEGImages/<id>.jpg`` (or .jpeg, .png) and
    ``ImageSets/Main/<split>.txt``. All annotations are read and checked when the dataset is made.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, or one VOC-style folder.
        splits: the lists to join: ``(2007, "trainval")`` is in ``VOC2007``, ``("mine", "train")`` in
            ``mine``, and ``"train"`` in the root itself.
        classes: names in the order of the labels; None takes the names found in the data, sorted.
        transform: applied to each decoded image and its objects.

    Raises:
        FileNotFoundError: the root, a folder or a list is missing.
        ValueError: an annotation is wrong, a class is unknown, or images are missing or repeated.
    """

    def __init__(
        self,
        root: Path | str,
        splits: Sequence[Split] = VOC0712_TRAINVAL,
        classes: Sequence[str] | None = VOC_CLASSES,
        transform: SampleTransform | None = None,
    ) -> None:
        self.transform = transform
        self._images: dict[str, _Image] = {}
        for split in splits:
            self._add_split(Path(root).expanduser(), split)
        self._check_count(splits, classes)
        self.classes = tuple(self._found_classes() if classes is None else (name.strip() for name in classes))
        """Class names, in the order of the labels."""
        self.image_ids = list(self._images)
        """``folder/id`` of each image, such as ``VOC2007/000005``."""
        self.sizes = [image.size for image in self._images.values()]
        """``(height, width)`` of each image on disk."""
        self._labels = {name.casefold(): label for label, name in enumerate(self.classes)}
        self._check_classes()

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image.

        Raises:
            ValueError: the file cannot be decoded.
        """
        target = self.annotation(index)
        image = _read_image(self._images[target["image_id"]].path)
        if self.transform is None:
            return Sample(torch.from_numpy(image).permute(2, 0, 1).contiguous(), target)
        tensor, boxes, labels, difficult = self.transform(
            image, target["boxes"].numpy(), target["labels"].numpy(), target["difficult"].numpy()
        )
        target["boxes"] = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        target["labels"] = torch.as_tensor(labels, dtype=torch.int64)
        target["difficult"] = torch.as_tensor(difficult, dtype=torch.bool)
        return Sample(tensor, target)

    def annotation(self, index: int) -> Target:
        """Returns one image's objects in the pixels of the file, without decoding it."""
        image_id = self.image_ids[index]
        image = self._images[image_id]
        # Tensors are made on access: thousands of stored ones would each need a file descriptor to reach
        # a spawned worker.
        return Target(
            boxes=torch.tensor([item.box for item in image.objects], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(
                [self._labels[item.name.casefold()] for item in image.objects], dtype=torch.int64
            ),
            difficult=torch.tensor([item.difficult for item in image.objects], dtype=torch.bool),
            image_id=image_id,
            size=image.size,
        )

    def seed(self, seed: int) -> None:
        """Fixes the random state of the next sample's transform."""
        if self.transform is not None:
            self.transform.seed(seed)

    def _add_split(self, root: Path, split: Split) -> None:
        folder, name = _find_split(root, split)
        for short_id, entry in load_index(folder, name).items():
            image_id = f"{folder.resolve().name}/{short_id}"
            if image_id in self._images:
                raise ValueError(
                    f"the image {image_id} is in more than one of the splits: list each image once"
                )
            self._images[image_id] = _Image(folder / "JPEGImages" / entry.image, entry.size, entry.objects)

    def _check_count(self, splits: Sequence[Split], classes: Sequence[str] | None) -> None:
        key: Any = tuple(split if isinstance(split, str) else tuple(split) for split in splits)
        expected = OFFICIAL_COUNTS.get(key)
        if (
            classes is not None
            and tuple(classes) == VOC_CLASSES
            and expected not in (None, len(self._images))
        ):
            raise ValueError(
                f"PASCAL VOC has {expected} images in {key}, but {len(self._images)} are listed here: the "
                "copy is incomplete, unpack the official archives again (data.download=true). For a set of "
                "your own, name its folder differently or give its classes"
            )

    def _found_classes(self) -> list[str]:
        counts = Counter(item.name for image in self._images.values() for item in image.objects)
        if not counts:
            raise ValueError(
                "no image has an object, so no class names can be read from the data: give data.classes"
            )
        # Spellings that differ by case are one class, under the name that is written most often.
        spellings = {name.casefold(): name for name, _ in reversed(counts.most_common())}
        return sorted(spellings.values())

    def _check_classes(self) -> None:
        if not self.classes or len(self._labels) < len(self.classes):
            raise ValueError(f"classes must be distinct names, regardless of case; got {list(self.classes)}")
        for image_id, image in self._images.items():
            for number, item in enumerate(image.objects, 1):
                if item.name.casefold() not in self._labels:
                    folder, _, short_id = image_id.partition("/")
                    close = difflib.get_close_matches(item.name, self.classes, n=1)
                    raise ValueError(
                        f"{folder}/Annotations/{short_id}.xml: object {number} has the unknown class "
                        + (f"{item.name!r}, did you mean {close[0]!r}?" if close else f"{item.name!r}.")
                        + f" The classes are: {', '.join(self.classes)}."
                        + " Correct the annotation or set data.classes"
                    )


def _find_split(root: Path, split: Split) -> tuple[Path, str]:
    """Returns the VOC-style folder and the list's name."""
    if isinstance(split, str):
        candidates, name = [root], split
    else:
        if len(split) != 2:
            raise ValueError(f"a split is a name or a pair such as [2007, trainval]; got {list(split)}")
        folder, name = (f"VOC{split[0]}" if isinstance(split[0], int) else split[0]), str(split[1])
        candidates = [root / folder, root / "VOCdevkit" / folder]
    for candidate in candidates:
        if (candidate / "Annotations").is_dir():
            return candidate, name
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) if root.is_dir() else None
    raise FileNotFoundError(
        f"no VOC-style folder {' or '.join(map(str, candidates))}; "
        + (f"{root} holds: {there or 'nothing'}. " if there is not None else f"{root} does not exist. ")
        + "Point data.root to the folder that holds VOCdevkit (or to one folder with Annotations, JPEGImages "
        "and ImageSets), or let data.download=true fetch PASCAL VOC"
    )


def _read_image(path: Path) -> NDArray[np.uint8]:
    # VOC's boxes belong to the pixels as stored, so the EXIF orientation is ignored.
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"{path} cannot be decoded: replace the file or take it off the lists")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
