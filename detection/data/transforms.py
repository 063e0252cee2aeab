"""From a decoded image to the network's input: augmentation and resizing, behind albumentations.

Every transform here is called as ``transform(image, boxes, labels, difficult)`` and returns the same
four, the image as a uint8 ``(3, H, W)`` tensor.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection.bounds import Colour, Expansion, Share, Size, height_and_width
from detection.data.geometry import SSDGeometry
from detection.data.photometric import PhotometricDistort
from detection.reader import resize

IMAGENET_MEAN = (123.675, 116.28, 103.53)
# Pixels of the network's input. A smaller object cannot be trained on: its encoded sides would be noise.
_MIN_TRAIN_SIDE = 1.0
# Pixels that a box may lose on its way through float32.
_ROUNDING = 1e-4


class Transformed(NamedTuple):
    """An image ready for the network, and its objects in the pixels of that image."""

    image: torch.Tensor
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


class DetectionTransform:
    """A chain of albumentations transforms over an image and its objects.

    The library keeps random state of its own, which neither worker processes nor ``seed_everything``
    reach: :meth:`seed` sets it, and the loader does so before every training sample.

    Boxes travel through the chain as the library hands them to its transforms, relative to the sides of the
    image, with their row as a fifth column. The library's own preparation and checks of boxes, which cost
    more than most transforms do, are replaced by the few lines here.

    Args:
        transforms: applied in this order.
        min_box_side: objects narrower or lower than this are dropped, in pixels of the output. Evaluation
            must keep them all: the metric counts them.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform], min_box_side: float = 0.0) -> None:
        self.pipeline = A.Compose(list(transforms))
        self.min_box_side = min_box_side

    @property
    def resizing(self) -> dict[str, Any] | None:
        """The rule (see ``detection.reader``) of a transform that only resizes, else None."""
        rules = [getattr(step, "rule", None) for step in self.pipeline.transforms]
        return rules[0] if len(rules) == 1 else None

    def seed(self, seed: int) -> None:
        """Fix the random state of the next call."""
        # Not set_random_seed: it starts every transform of the chain on the same numbers, so that images
        # would grow brighter exactly when they are expanded.
        self.pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))

    def __call__(
        self,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        labels: NDArray[np.int64],
        difficult: NDArray[np.bool_],
    ) -> Transformed:
        """Transform one image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            boxes: ``(N, 4)`` xyxy pixels of the image.
            labels: ``(N,)``.
            difficult: ``(N,)``.
        """
        inputs = np.empty((len(boxes), 5))
        inputs[:, :4] = (boxes / _sides(image)).clip(0, 1)
        inputs[:, 4] = range(len(boxes))
        out = self.pipeline(image=image, bboxes=inputs)
        boxes, rows = out["bboxes"][:, :4].clip(0, 1) * _sides(out["image"]), out["bboxes"][:, 4].astype(int)
        lengths = boxes[:, 2:] - boxes[:, :2]
        kept = ((lengths > 0) & (lengths >= self.min_box_side - _ROUNDING)).all(axis=1)
        rows = rows[kept]
        return Transformed(
            image=channels_first(out["image"]),
            boxes=boxes[kept].astype(np.float32),
            labels=np.asarray(labels, dtype=np.int64)[rows],
            difficult=np.asarray(difficult, dtype=bool)[rows],
        )


def _sides(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    return np.array([width, height, width, height], dtype=np.float64)


def channels_first(image: NDArray[np.uint8]) -> torch.Tensor:
    """Copy an ``(H, W, 3)`` image into a ``(3, H, W)`` tensor."""
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    cv2.split(image, list(planes))  # three times as fast as a transposed copy
    return torch.from_numpy(planes)


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


def ssd_train_transform(
    size: Size,
    fill: Colour = IMAGENET_MEAN,
    photometric: bool = True,
    expand_probability: Share = 0.5,
    max_expand: Expansion = 4.0,
    crop: bool = True,
    flip_probability: Share = 0.5,
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
    """
    geometry = SSDGeometry(
        height_and_width(size), fill, expand_probability, max_expand, crop, flip_probability
    )
    steps = [geometry, PhotometricDistort()] if photometric else [geometry]
    return DetectionTransform(steps, min_box_side=_MIN_TRAIN_SIDE)


def ssd_eval_transform(size: Size, bilinear: bool = False) -> DetectionTransform:
    """SSD's evaluation transform: resize, nothing else.

    Args:
        size: side, or height and width.
        bilinear: see :class:`ResizeExactly`.
    """
    return DetectionTransform([ResizeExactly(height_and_width(size), bilinear)])


def faster_rcnn_train_transform(size: Size, flip_probability: Share = 0.5) -> DetectionTransform:
    """Faster R-CNN's training transform: resize, and mirror now and then.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        flip_probability: chance of a mirror image.

    Raises:
        ValueError: if ``size`` is not two numbers.
    """
    steps = [A.HorizontalFlip(p=flip_probability), ResizeShort(*_short_and_longest(size))]
    return DetectionTransform(steps, min_box_side=_MIN_TRAIN_SIDE)


def faster_rcnn_eval_transform(size: Size, round_down: bool = False) -> DetectionTransform:
    """Faster R-CNN's evaluation transform: resize, nothing else.

    Args:
        size: lengths of the shortest side and, at most, of the longest.
        round_down: see ``detection.reader.short_side_size``.
    """
    return DetectionTransform([ResizeShort(*_short_and_longest(size), round_down)])
