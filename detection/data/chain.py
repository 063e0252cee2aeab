"""A chain of albumentations transforms over an image and its objects."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

# Pixels that a box may lose on its way through float32.
_ROUNDING = 1e-4


class Picture(NamedTuple):
    """An image and its objects, while both are worked on."""

    image: NDArray[np.uint8]
    """``(H, W, 3)`` RGB."""
    boxes: NDArray[np.floating[Any]]
    """``(N, 4)`` xyxy pixels of the image."""
    labels: NDArray[np.int64]
    """``(N,)``."""
    difficult: NDArray[np.bool_]
    """``(N,)``."""

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.image.shape[0], self.image.shape[1]

    def keep(self, kept: NDArray[np.bool_]) -> "Picture":
        """The same image with some of its objects."""
        return Picture(self.image, self.boxes[kept], self.labels[kept], self.difficult[kept])


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
        boxes: NDArray[np.floating[Any]],
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
        out = self.on(Picture(image, boxes, labels, difficult))
        return Transformed(channels_first(out.image), out.boxes.astype(np.float32), out.labels, out.difficult)

    def on(self, picture: Picture) -> Picture:
        """Transform a picture that is worked on further."""
        inputs = np.empty((len(picture.boxes), 5))
        inputs[:, :4] = (picture.boxes / _sides(picture.image)).clip(0, 1)
        inputs[:, 4] = range(len(picture.boxes))
        out = self.pipeline(image=picture.image, bboxes=inputs)
        boxes, rows = out["bboxes"][:, :4].clip(0, 1) * _sides(out["image"]), out["bboxes"][:, 4].astype(int)
        lengths = boxes[:, 2:] - boxes[:, :2]
        kept = ((lengths > 0) & (lengths >= self.min_box_side - _ROUNDING)).all(axis=1)
        rows = rows[kept]
        return Picture(
            image=out["image"],
            boxes=boxes[kept],
            labels=np.asarray(picture.labels, dtype=np.int64)[rows],
            difficult=np.asarray(picture.difficult, dtype=bool)[rows],
        )


def _sides(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    return np.array([width, height, width, height], dtype=np.float64)


def channels_first(image: NDArray[np.uint8]) -> torch.Tensor:
    """Copy an ``(H, W, 3)`` image into a ``(3, H, W)`` tensor."""
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    cv2.split(image, list(planes))  # three times as fast as a transposed copy
    return torch.from_numpy(planes)
