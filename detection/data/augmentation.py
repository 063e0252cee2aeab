"""The chains of training, of albumentations' transforms; evaluation does without that library."""

from functools import partial
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from detection.bounds import Colour, Size, height_and_width
from detection.data.chain import DetectionTransform, Resize, short_and_longest, short_side
from detection.data.erasing import RandomErasing
from detection.data.geometry import SSDGeometry
from detection.data.photometric import PhotometricDistort
from detection.data.varied import MakesInputs, Variations, VariedTransform
from detection.reader import short_side_size

# Pixels of the network's input. A smaller object cannot be trained on: its encoded sides would be noise.
_MIN_TRAIN_SIDE = 1.0


class ResizeBehind(A.DualTransform):  # type: ignore[misc]
    """A resize behind transforms of albumentations.

    Args:
        resize: as evaluation has it.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.BBOXES)

    def __init__(self, resize: Resize) -> None:
        super().__init__(p=1.0)
        self.resize = resize

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Resize the pixels."""
        resized: NDArray[np.uint8] = self.resize(image=img, bboxes=np.zeros((0, 4)))["image"]
        return resized

    def apply_to_bboxes(self, bboxes: NDArray[np.float32], **params: Any) -> NDArray[np.float32]:
        """Boxes arrive relative to the image's sides, so a resize leaves them as they are."""
        return bboxes


def ssd_recipe(
    fill: Colour, photometric: bool, expand: float, max_expand: float, crop: bool, flip: float, erase: float
) -> MakesInputs:
    """How SSD's training makes inputs: expand, crop, mirror and resize, then distort colours; erase at last.

    Args:
        fill: see ``transforms.ssd_train_transform``, as for all of them.
        photometric: whether to distort colours.
        expand: chance of it.
        max_expand: in sides of the image.
        crop: whether to crop.
        flip: chance of it.
        erase: chance of it.
    """
    geometry = partial(_ssd_geometry, fill=fill, expand=expand, max_expand=max_expand, crop=crop, flip=flip)
    colours = [PhotometricDistort()] if photometric else []
    return MakesInputs(geometry, _ssd_canvas, [*colours, *_erasing(erase)], flip)


def faster_rcnn_recipe(flip: float, erase: float) -> MakesInputs:
    """How Faster R-CNN's training makes inputs: mirror now and then, and resize; erase at last.

    Args:
        flip: chance of it.
        erase: chance of it.
    """
    return MakesInputs(partial(_faster_rcnn_geometry, flip=flip), _faster_rcnn_canvas, _erasing(erase), flip)


def train_transform(size: Size, recipe: MakesInputs, variations: Variations) -> DetectionTransform:
    """The transform of a training.

    Args:
        size: of the input.
        recipe: makes inputs.
        variations: what varies beside.
    """
    if variations.any:
        return VariedTransform(size, recipe, variations, _MIN_TRAIN_SIDE)
    return DetectionTransform(A.Compose([*recipe.geometry(size), *recipe.colours]), _MIN_TRAIN_SIDE)


def _erasing(probability: float) -> list[A.BasicTransform]:
    return [RandomErasing(p=probability)] if probability else []


def _ssd_geometry(
    size: Size, fill: Colour, expand: float, max_expand: float, crop: bool, flip: float
) -> list[A.BasicTransform]:
    return [SSDGeometry(height_and_width(size), fill, expand, max_expand, crop, flip)]


def _ssd_canvas(image: tuple[int, int], size: Size) -> tuple[int, int]:
    return height_and_width(size)


def _faster_rcnn_geometry(size: Size, flip: float) -> list[A.BasicTransform]:
    return [A.HorizontalFlip(p=flip), ResizeBehind(short_side(size))]


def _faster_rcnn_canvas(image: tuple[int, int], size: Size) -> tuple[int, int]:
    return short_side_size(image, *short_and_longest(size))
