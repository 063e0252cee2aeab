"""Detection as a function of images."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from detection.bounds import Overlap, Positive, Share, Tiles
from detection.data.image_files import ImageError, decode_image
from detection.data.image_sources import ImageFiles, find_source
from detection.data.transforms import DetectionTransform
from detection.prediction.capture import Capture
from detection.prediction.prediction import Prediction
from detection.prediction.selection import Selection, find_labels
from detection.prediction.views import Detect, Images, in_views
from detection.settings import Predict
from detection.system.wording import counted, in_a_list
from detection.types import Detections, Sample, Target
from detection.validation.arguments import check_arguments, telling_our_words

Pixels = NDArray[np.uint8] | Tensor | Image.Image
"""An image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, a tensor ``(3, H, W)``, of 8 bits each, or Pillow's."""
Names = Sequence[str] | set[str] | frozenset[str]
Predictions = list[Prediction] | Iterator[Prediction]

# Of ``predict``, beside the source.
_CHOICES = ("threshold", "classes", "batch_size", "tiles", "overlap", "flip")
_NAMED = 8  # classes in a line

_NO_BOXES = np.zeros((0, 4), np.float32)
_NO_LABELS = np.zeros(0, np.int64)
_NO_DIFFICULT = np.zeros(0, np.bool_)


class Detector(ABC):
    """A trained detector and the way images become its input, as `detection.load` opens it.

    Args:
        transform: the evaluation transform that belongs to it.
    """

    def __init__(self, transform: DetectionTransform) -> None:
        self.transform = transform

    @property
    @abstractmethod
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""

    @property
    def input_size(self) -> tuple[int, int]:
        """``(height, width)`` of what the network is given of a square image."""
        height, width = self.prepare(np.zeros((64, 64, 3), np.uint8)).image.shape[-2:]
        return height, width

    @property
    @abstractmethod
    def network_name(self) -> str:
        """What computes: ``SSD on MobileNetV2``, or the name of an exported file."""

    def __repr__(self) -> str:
        names = [in_a_list(name) for name in self.class_names[:_NAMED]]
        more = ["..."] if len(self.class_names) > _NAMED else []
        classes = f"{counted(len(self.class_names), 'class')} ({', '.join([*names, *more])})"
        height, width = self.input_size
        return f"Detector({self.network_name}, {classes}, input {width} x {height} pixels)"

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in a batch of images.

        Args:
            images: each ``(H, W, 3)`` RGB, of any size.

        Returns:
            Detections of each image, in its own pixels, on the CPU.

        Raises:
            TypeError: these are no arrays in a list; the message names ``predict``, which takes more.
            ValueError: an array has another shape or type.
        """
        if not isinstance(images, list | tuple) or not all(isinstance(each, np.ndarray) for each in images):
            given = type(images).__name__ if not isinstance(images, list | tuple) else "list of other things"
            raise TypeError(
                f"images is a {given}: give a list of arrays (H, W, 3); predict takes one image, paths, "
                "folders and videos, too."
            )
        return self.detect([_pixels(image) for image in images]) if images else []

    @abstractmethod
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in one or more images, ``(H, W, 3)`` RGB of 8 bits each; see ``__call__``."""

    @overload
    def predict(
        self,
        source: Pixels,
        threshold: Share = 0.5,
        classes: str | Names | None = None,
        batch_size: Positive = 8,
        tiles: Tiles | None = None,
        overlap: Overlap | None = None,
        flip: bool = False,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        source: Sequence[Pixels | str | Path],
        threshold: Share = 0.5,
        classes: str | Names | None = None,
        batch_size: Positive = 8,
        tiles: Tiles | None = None,
        overlap: Overlap | None = None,
        flip: bool = False,
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self,
        source: str | Path | int,
        threshold: Share = 0.5,
        classes: str | Names | None = None,
        batch_size: Positive = 8,
        tiles: Tiles | None = None,
        overlap: Overlap | None = None,
        flip: bool = False,
    ) -> Any: ...  # what lies there decides

    @telling_our_words
    def predict(
        self,
        source: str | Path | int | Pixels | Sequence[Pixels | str | Path],
        threshold: Share = 0.5,
        classes: str | Names | None = None,
        batch_size: Positive = 8,
        tiles: Tiles | None = None,
        overlap: Overlap | None = None,
        flip: bool = False,
    ) -> Prediction | Predictions:
        """Detect in whatever holds images.

        Args:
            source: an image, as the path of a file or as pixels (see ``Pixels``); a list of images; a
                folder, searched with its subfolders, or a pattern such as ``photos/*.jpg``; a video; or the
                number of a webcam.
            threshold: the lowest score to keep, from 0 to 1.
            classes: the names of those to keep; None keeps all.
            batch_size: how many images, or tiles of an image, the network takes at once.
            tiles: to look at parts of each image beside the whole, for small objects: ``"auto"``, as large as
                the network's input; their side in pixels; or ``[rows, columns]``.
            overlap: share of a tile's side that it has in common with the next at least; None for
                the command's, 0.2.
            flip: whether to look at the mirror image, too.

        Returns:
            Of one image its ``Prediction``; of several a list, a folder's sorted by name; of a video or a
            webcam an iterator that reads on as it is asked.

        Raises:
            FileNotFoundError: there is no such file or folder.
            ValueError: an image cannot be read (of a folder or a pattern: none of them, else a warning names
                those that are left out), pixels have another shape or type, a class is not known, or a
                number is out of bounds.
            TypeError: the source is something else, or another argument is, or there is no such argument.
        """
        asked = locals()
        check_arguments(Detector.predict, {name: asked[name] for name in _CHOICES})
        classes = [classes] if isinstance(classes, str) else classes
        select = Selection(threshold, find_labels(classes, self.class_names))
        if tiles is None and overlap is not None:
            raise ValueError(f"overlap={overlap:g}: tiles have it: leave it out, or give tiles=..., too.")
        overlap = Predict.overlap if overlap is None else overlap
        detect = in_views(self, self.input_size, tiles, overlap, flip, batch_size)
        images_at_once = batch_size if tiles is None else 1

        def find(images: Images) -> list[Detections]:
            return [select(found) for found in detect(images)]

        if isinstance(source, np.ndarray | Tensor | Image.Image):
            return self._predict_all([source], [""], find, 1)[0]
        if isinstance(source, bytes | dict) or not isinstance(source, str | Path | int | Sequence):
            raise TypeError(
                f"source is a {type(source).__name__}: give a path, an array, a tensor, Pillow's image, or a "
                "list of these."
            )
        if not isinstance(source, str | Path | int):
            names = [
                item.name if isinstance(item, Path) else item if isinstance(item, str) else ""
                for item in source
            ]
            return self._predict_all(source, names, find, images_at_once)
        found = find_source(str(source) if isinstance(source, Path) else source)
        if not isinstance(found, ImageFiles):
            return self._predict_frames(Capture(found), find, images_at_once)
        paths, names = [file.path for file in found.files], [file.name for file in found.files]
        if Path(str(source)).expanduser().is_file():
            return self._predict_all(paths, names, find, 1)[0]
        return self._predict_all(paths, names, find, images_at_once, skip=True)

    def _predict_all(
        self,
        images: Sequence[Pixels | str | Path],
        names: Sequence[str],
        find: Detect,
        batch_size: int,
        skip: bool = False,
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        refused: list[str] = []
        for first in range(0, len(images), batch_size):
            some: list[NDArray[np.uint8]] = []
            some_names: list[str] = []
            batch = slice(first, first + batch_size)
            for image, name in zip(images[batch], names[batch], strict=True):
                try:
                    some.append(_pixels(image))
                    some_names.append(name)
                except ImageError as error:
                    if not skip:
                        raise
                    refused.append(str(error))
            if some:
                predictions += self._predict_batch(some, some_names, find)
        if refused and not predictions:
            raise ValueError(f"None of {counted(len(images), 'image')} can be read. The first: {refused[0]}")
        if refused:
            told = f"{len(refused)} of {counted(len(images), 'image')} cannot be read: {'; '.join(refused)}"
            warnings.warn(told, stacklevel=3)
        return predictions

    def _predict_frames(self, capture: Capture, find: Detect, batch_size: int) -> Iterator[Prediction]:
        with closing(capture):
            for frames in capture.batches(1 if capture.live else batch_size):
                yield from self._predict_batch([frame.image for frame in frames], [""] * len(frames), find)

    def _predict_batch(self, images: Images, names: Sequence[str], find: Detect) -> list[Prediction]:
        return [
            Prediction(image, found, self.class_names, name)
            for image, found, name in zip(images, find(images), names, strict=True)
        ]

    def prepare(self, image: NDArray[np.uint8]) -> Sample:
        """Make the network's input of an ``(H, W, 3)`` RGB image."""
        tensor = self.transform(image, _NO_BOXES, _NO_LABELS, _NO_DIFFICULT).image
        target = Target(
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64),
            difficult=torch.zeros(0, dtype=torch.bool),
            image_id="",
            size=(image.shape[0], image.shape[1]),
        )
        return Sample(tensor, target)


def _pixels(image: Pixels | str | Path) -> NDArray[np.uint8]:
    """Make ``(H, W, 3)`` RGB of an image."""
    if isinstance(image, str | Path):
        return decode_image(Path(image).expanduser(), upright=True)
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise ValueError("An image without pixels.")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # upright, as a file is read
    if not isinstance(image, Tensor | np.ndarray):
        raise TypeError(
            f"An image is a {type(image).__name__}: give a path, an array, a tensor, or Pillow's image."
        )
    pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if isinstance(image, Tensor) and pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        wanted = "(3, H, W)" if isinstance(image, Tensor) else "(H, W, 3)"
        raise ValueError(
            f"Pixels of {tuple(image.shape)} and type {image.dtype}: give {wanted} RGB in 8 bits, uint8; of "
            "several images a list of them."
        )
    return np.ascontiguousarray(pixels)
