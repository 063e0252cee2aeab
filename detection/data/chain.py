"""A chain of transforms over an image and its objects, and the one of evaluation: a resize."""

import random
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection.bounds import Size
from detection.reader import resize

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


class Chain(Protocol):
    """What becomes of the pixels and of boxes relative to the image's sides, in any columns behind four."""

    def __call__(self, *, image: NDArray[np.uint8], bboxes: NDArray[np.float64]) -> dict[str, Any]:
        """Give ``image`` and ``bboxes`` anew."""

    def set_random_state(self, numbers: np.random.Generator, plain: random.Random) -> None:
        """Draw from these from now on."""


class Resize:
    """A chain that resizes by a rule of ``detection.reader`` and draws nothing.

    Args:
        rule: in words that `detection.reader.resize` understands, for exported files.
    """

    def __init__(self, rule: dict[str, Any]) -> None:
        self.rule = rule

    def __call__(self, *, image: NDArray[np.uint8], bboxes: NDArray[np.float64]) -> dict[str, Any]:
        """Resize the pixels; boxes are relative to the image's sides, so a resize leaves them as they are."""
        return {"image": resize(image, self.rule), "bboxes": bboxes}

    def set_random_state(self, numbers: np.random.Generator, plain: random.Random) -> None:
        """Nothing is drawn."""


def exactly(size: tuple[int, int], bilinear: bool = False) -> Resize:
    """Resize to a fixed size, ignoring the aspect ratio: see ``detection.reader.resize_exactly``.

    Args:
        size: ``(height, width)``.
        bilinear: interpolate bilinearly in any case, without averaging, as torchvision's SSD does.
    """
    return Resize({"size": list(size), "bilinear": bilinear})


def short_side(size: Size, round_down: bool = False) -> Resize:
    """Resize the short side to the first number, but the long side to no more than the second, bilinearly.

    The aspect ratio is kept up to rounding (Faster R-CNN paper, section 3.3).

    Args:
        size: both numbers, in pixels.
        round_down: see ``detection.reader.short_side_size``.

    Raises:
        ValueError: they are not two numbers in this order.
    """
    short, longest = short_and_longest(size)
    return Resize({"short": short, "longest": longest, "round_down": round_down})


def short_and_longest(size: Size) -> tuple[int, int]:
    """The two numbers of Faster R-CNN's size.

    Raises:
        ValueError: they are not two numbers in this order.
    """
    if isinstance(size, int) or len(size) != 2 or size[0] > size[1]:
        raise ValueError(
            f"data.size={size}: Faster R-CNN keeps the shape of images, so give the length of the shortest "
            "side and the most for the longest, such as data.size=[600,1000]."
        )
    return size[0], size[1]


class DetectionTransform:
    """A chain of transforms over an image and its objects.

    albumentations keeps random state of its own, which neither worker processes nor ``seed_everything``
    reach: :meth:`seed` sets it, and the loader does so before every training sample.

    Boxes travel through the chain as that library hands them to its transforms, relative to the sides of the
    image, with their row as a fifth column. The library's own preparation and checks of boxes, which cost
    more than most transforms do, are replaced by the few lines here.

    Args:
        chain: of the pixels and boxes: ``Resize``, or albumentations' ``Compose``.
        min_box_side: objects narrower or lower than this are dropped, in pixels of the output. Evaluation
            must keep them all: the metric counts them.
    """

    def __init__(self, chain: Chain, min_box_side: float = 0.0) -> None:
        self.chain = chain
        self.min_box_side = min_box_side

    @property
    def resizing(self) -> dict[str, Any] | None:
        """The rule (see ``detection.reader``) of a transform that only resizes, else None."""
        return self.chain.rule if isinstance(self.chain, Resize) else None

    def seed(self, seed: int) -> None:
        """Fix the random state of the next call."""
        # Not set_random_seed: it starts every transform of the chain on the same numbers, so that images
        # would grow brighter exactly when they are expanded.
        self.chain.set_random_state(np.random.default_rng(seed), random.Random(seed))

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
        out = self.chain(image=picture.image, bboxes=inputs)
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
