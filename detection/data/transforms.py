"""From a decoded image to the network's input: augmentation and resizing, behind albumentations.

Every transform here is called as ``transform(image, boxes, labels, difficult)`` and returns the same
four, the image as a uint8 ``(3, H, W)`` tensor.
"""

from functools import partial
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from detection.bounds import Colour, Expansion, Few, Share, Side, Size, Tiles, height_and_width
from detection.data.chain import DetectionTransform as DetectionTransform
from detection.data.chain import Transformed as Transformed
from detection.data.erasing import RandomErasing
from detection.data.geometry import SSDGeometry
from detection.data.photometric import PhotometricDistort
from detection.data.varied import MakesInputs, Variations, VariedTransform
from detection.reader import resize, short_side_size

IMAGENET_MEAN = (123.675, 116.28, 103.53)
# Pixels of the network's input. A smaller object cannot be trained on: its encoded sides would be noise.
_MIN_TRAIN_SIDE = 1.0


class ResizeExactly(A.DualTransform):  # type: ignore[misc]
    """Resize to a fixed size, ignoring the aspect ratio: area averages to shrink, cubic to enlarge.

    Args:
        size: ``(height, width)``.
        bilinear: interpolate bilinearly in any case, without averaging, as torchvision's SSD does.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.BBOXES)

    def __init__(self, size: tuple[int, int], bilinear: bool = False) -> None:
        super().__init__(p=1.0)
        self.rule = {"size": list(size), "bilinear": bilinear}
        """In words that `detection.reader.resize` understands, for exported files."""

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Resize the pixels."""
        return resize(img, self.rule)

    def apply_to_bboxes(self, bboxes: NDArray[np.float32], **params: Any) -> NDArray[np.float32]:
        """Boxes arrive relative to the image's sides, so a resize leaves them as they are."""
        return bboxes


class ResizeShort(A.DualTransform):  # type: ignore[misc]
    """Resize the short side to ``short``, but the long side to no more than ``longest``, bilinearly.

    The aspect ratio is kept up to rounding (Faster R-CNN paper, section 3.3).

    Args:
        short: in pixels.
        longest: in pixels.
        round_down: see ``detection.reader.short_side_size``.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.BBOXES)

    def __init__(self, short: int, longest: int, round_down: bool = False) -> None:
        super().__init__(p=1.0)
        self.rule = {"short": short, "longest": longest, "round_down": round_down}
        """See ``ResizeExactly``."""

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Resize the pixels."""
        return resize(img, self.rule)

    def apply_to_bboxes(self, bboxes: NDArray[np.float32], **params: Any) -> NDArray[np.float32]:
        """Boxes arrive relative to the image's sides, so a resize leaves them as they are."""
        return bboxes


def _short_and_longest(size: Size) -> tuple[int, int]:
    if isinstance(size, int) or len(size) != 2 or size[0] > size[1]:
        raise ValueError(
            f"data.size={size}: Faster R-CNN keeps the shape of images, so give the length of the shortest "
            "side and the most for the longest, such as data.size=[600,1000]."
        )
    return size[0], size[1]


def _ssd_geometry(
    size: Size, fill: Colour, expand: float, max_expand: float, crop: bool, flip: float
) -> list[A.BasicTransform]:
    return [SSDGeometry(height_and_width(size), fill, expand, max_expand, crop, flip)]


def _ssd_canvas(image: tuple[int, int], size: Size) -> tuple[int, int]:
    return height_and_width(size)


def ssd_train_transform(
    size: Size,
    fill: Colour = IMAGENET_MEAN,
    photometric: bool = True,
    expand_probability: Share = 0.5,
    max_expand: Expansion = 4.0,
    crop: bool = True,
    flip_probability: Share = 0.5,
    erase_probability: Share = 0.0,
    sizes: Few[Side] | None = None,
    tiles: Tiles | None = None,
    mosaic_probability: Share = 0.0,
    mixup_probability: Share = 0.0,
    copy_paste_probability: Share = 0.0,
    mix_until: Share = 0.85,
) -> DetectionTransform:
    """SSD's training transform (SSD paper, sections 2.2 and 3.6).

    Colours are distorted after the geometry: fewer pixels to touch, and the same images but for the fill.

    Args:
        size: side of the square input, or ``(height, width)``.
        fill: RGB around expanded images.
        photometric: whether to distort brightness, contrast, saturation and hue.
        expand_probability: chance of placing the image on a larger canvas.
        max_expand: largest side of that canvas, in sides of the image.
        crop: whether to take an IoU-constrained crop.
        flip_probability: chance of a mirror image.
        erase_probability: chance of noise over a rectangle; see ``erasing.RandomErasing``.
        sizes: shortest sides of inputs, of which each optimizer step draws one; the other side follows in
            proportion. None makes all inputs of ``size``.
        tiles: train on windows of large images, as prediction with these ``tiles`` looks at them; see
            ``compositions.sample_tile``.
        mosaic_probability: chance of parts of four images in one.
        mixup_probability: chance of another image laid over this one.
        copy_paste_probability: chance of objects of another image pasted where none is.
        mix_until: share of the run from which on no image is made of several.
    """
    recipe = MakesInputs(
        partial(
            _ssd_geometry,
            fill=fill,
            expand=expand_probability,
            max_expand=max_expand,
            crop=crop,
            flip=flip_probability,
        ),
        _ssd_canvas,
        ([PhotometricDistort()] if photometric else []) + _erasing(erase_probability),
        flip_probability,
    )
    mixed = mosaic_probability, mixup_probability, copy_paste_probability, mix_until
    return _train_transform(size, recipe, Variations(sizes, tiles, *mixed))


def _erasing(probability: float) -> list[A.BasicTransform]:
    return [RandomErasing(p=probability)] if probability else []


def _train_transform(size: Size, recipe: MakesInputs, variations: Variations) -> DetectionTransform:
    if variations.any:
        return VariedTransform(size, recipe, variations, _MIN_TRAIN_SIDE)
    return DetectionTransform([*recipe.geometry(size), *recipe.colours], min_box_side=_MIN_TRAIN_SIDE)


def ssd_eval_transform(size: Size, bilinear: bool = False) -> DetectionTransform:
    """SSD's evaluation transform: resize, nothing else.

    Args:
        size: side, or height and width.
        bilinear: see :class:`ResizeExactly`.
    """
    return DetectionTransform([ResizeExactly(height_and_width(size), bilinear)])


def _faster_rcnn_geometry(size: Size, flip: float) -> list[A.BasicTransform]:
    return [A.HorizontalFlip(p=flip), ResizeShort(*_short_and_longest(size))]


def _faster_rcnn_canvas(image: tuple[int, int], size: Size) -> tuple[int, int]:
    return short_side_size(image, *_short_and_longest(size))


def faster_rcnn_train_transform(
    size: Size,
    flip_probability: Share = 0.5,
    erase_probability: Share = 0.0,
    sizes: Few[Side] | None = None,
    tiles: Tiles | None = None,
    mosaic_probability: Share = 0.0,
    mixup_probability: Share = 0.0,
    copy_paste_probability: Share = 0.0,
    mix_until: Share = 0.85,
) -> DetectionTransform:
    """Faster R-CNN's training transform: resize, and mirror now and then.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        flip_probability: chance of a mirror image.
        erase_probability: see ``ssd_train_transform``, as for those below.
        sizes: shortest sides of which each optimizer step draws one; the limit of the longest follows.
        tiles: train on windows of large images.
        mosaic_probability: chance of parts of four images in one.
        mixup_probability: chance of another image laid over this one.
        copy_paste_probability: chance of objects of another image pasted where none is.
        mix_until: share of the run from which on no image is made of several.

    Raises:
        ValueError: if ``size`` is not two numbers.
    """
    recipe = MakesInputs(
        partial(_faster_rcnn_geometry, flip=flip_probability),
        _faster_rcnn_canvas,
        _erasing(erase_probability),
        flip_probability,
    )
    mixed = mosaic_probability, mixup_probability, copy_paste_probability, mix_until
    return _train_transform(size, recipe, Variations(sizes, tiles, *mixed))


def faster_rcnn_eval_transform(size: Size, round_down: bool = False) -> DetectionTransform:
    """Faster R-CNN's evaluation transform: resize, nothing else.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        round_down: see ``detection.reader.short_side_size``.
    """
    return DetectionTransform([ResizeShort(*_short_and_longest(size), round_down)])
