"""SSD's training geometry: expand, IoU-constrained crop, flip and resize as ONE resize.

Each of the four steps only chooses a window: expanding puts the image on a larger canvas, cropping
takes a part of that canvas, resizing maps the part onto the output, flipping mirrors it. So a
:class:`Warp` (which pixels of the image become which pixels of the output, and a mirror bit) holds the
outcome of all four, and the pixels are touched once.
"""

import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]
"""``xyxy`` in whole pixels, the last of them not included."""

# SSD paper, section 2.2: a crop must overlap every object by at least this IoU. (None: any overlap.)
MIN_IOUS = (0.1, 0.3, 0.5, 0.7, 0.9, None)
_CROP_TRIALS = 50
_CROP_SCALES = (0.3, 1.0)
_MAX_ASPECT = 2.0
# Cubic stands for Lanczos, too: they differ by less than a grey level, but Lanczos takes many times as long.
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_CUBIC)


class Warp(NamedTuple):
    """Which whole pixels of the image become which whole pixels of the output; the rest of it is filled."""

    source: Rectangle
    """In the image."""
    target: Rectangle
    """In the output, before it is mirrored."""
    mirror: bool = False

    @classmethod
    def of(cls, window: Box, image: tuple[int, int], size: tuple[int, int], mirror: bool = False) -> Self:
        """Choose the pixels for a window, which moves by less than a pixel for that.

        A warp to fractions of pixels would take several times as long.

        Args:
            window: the part of the plane that becomes the output, in pixels of the image.
            image: ``(height, width)`` of the image.
            size: ``(height, width)`` of the output.
            mirror: whether left becomes right.
        """
        x1, x2, left, right = _whole_pixels(window[0], window[2], image[1], size[1])
        y1, y2, top, bottom = _whole_pixels(window[1], window[3], image[0], size[0])
        return cls((x1, y1, x2, y2), (left, top, right, bottom), mirror)

    def map_boxes(self, boxes: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
        """Map ``(N, 4)`` boxes of the image into an output of ``(height, width)``; nothing is clipped."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.source, self.target
        scale = np.array([(right - left) / (x2 - x1), (bottom - top) / (y2 - y1)] * 2)
        mapped = (boxes - np.array([x1, y1, x1, y1])) * scale + np.array([left, top, left, top])
        if self.mirror:
            mapped[:, [0, 2]] = size[1] - mapped[:, [2, 0]]
        return np.asarray(mapped, dtype=np.float64)

    def render(
        self, image: NDArray[np.uint8], size: tuple[int, int], fill: Sequence[float], interpolation: int
    ) -> NDArray[np.uint8]:
        """Render an ``(H, W, 3)`` image at ``size``; outside the image lies ``fill``."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.source, self.target
        part: cv2.typing.MatLike = image[y1:y2, x1:x2]
        height, width = bottom - top, right - left
        # An interpolation looks at few pixels. Halving first keeps strongly shrunk images (a 4x expansion)
        # free of aliasing: at half the size, linear interpolation is the average of two pixels.
        down, across = _halvings(y2 - y1, height), _halvings(x2 - x1, width)
        for step in range(max(down, across)):
            rows = part.shape[0] // 2 if step < down else part.shape[0]
            columns = part.shape[1] // 2 if step < across else part.shape[1]
            part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)
        # OpenCV's plain nearest neighbour is half a pixel off.
        exact = cv2.INTER_NEAREST_EXACT if interpolation == cv2.INTER_NEAREST else interpolation
        part = cv2.resize(part, (width, height), interpolation=exact)
        if (height, width) != size:
            sides = (top, size[0] - bottom, left, size[1] - right)
            part = cv2.copyMakeBorder(part, *sides, cv2.BORDER_CONSTANT, value=fill)
        return np.asarray(cv2.flip(part, 1) if self.mirror else part, dtype=np.uint8)


def _whole_pixels(start: float, end: float, length: int, out_length: int) -> tuple[int, int, int, int]:
    """Along one side: where the image and the output begin and end that belong together.

    A window beside the image shows one pixel of it.
    """
    scale = out_length / (end - start)
    first = min(max(math.floor(start), 0), length - 1)
    last = max(min(math.ceil(end), length), first + 1)
    out_first = min(max(round((first - start) * scale), 0), out_length - 1)
    out_last = max(min(round((last - start) * scale), out_length), out_first + 1)
    # What cannot be halved evenly is less than a pixel of the output.
    rest = (last - first) % 2 ** _halvings(last - first, out_last - out_first)
    return first, last - rest, out_first, out_last


def _halvings(length: int, out_length: int) -> int:
    """How often so many pixels can be halved without becoming fewer than wanted."""
    return max(1, length // out_length).bit_length() - 1


def sample_expansion(height: int, width: int, max_ratio: float, rng: random.Random) -> Box:
    """Draw the canvas of a random expansion: the window that holds the image somewhere inside."""
    ratio = rng.uniform(1, max_ratio)
    left = rng.uniform(0, width * (ratio - 1))
    top = rng.uniform(0, height * (ratio - 1))
    return -left, -top, width * ratio - left, height * ratio - top


def sample_crop(canvas: Box, boxes: Sequence[Box], rng: random.Random) -> Box:
    """Draw SSD's IoU-constrained crop of a canvas (SSD paper, section 2.2).

    One of "the whole canvas" and the six minimum-IoU rules is drawn at random; a rule gets 50 trials, and
    a rule that finds no crop gives way to the next one. A crop must hold the centre of an object. Without
    objects, any crop will do.
    """
    if not boxes:
        return _sample_window(canvas, rng)
    areas = [_area(box) for box in boxes]
    smallest_crop = _CROP_SCALES[0] ** 2 * _area(canvas)
    rules: list[float | str | None] = ["whole", *MIN_IOUS]
    rng.shuffle(rules)
    for rule in rules:
        if rule == "whole":
            return canvas
        min_iou = 0.0 if rule is None else float(rule)
        # An IoU is at most the ratio of the areas, which spares the trials where no crop is small enough.
        if min(areas) < min_iou * max(smallest_crop, min_iou * max(areas)):
            continue
        for _ in range(_CROP_TRIALS):
            crop = _sample_window(canvas, rng)
            if all(_iou(box, crop) >= min_iou for box in boxes) and any(
                _has_centre(crop, box) for box in boxes
            ):
                return crop
    return canvas


def _sample_window(canvas: Box, rng: random.Random) -> Box:
    """Draw a window of 0.3² to 1 of the canvas's area and an aspect ratio of 1/2 to 2 relative to it."""
    left, top, right, bottom = canvas
    scale = rng.uniform(*_CROP_SCALES)
    # These bounds keep the window inside the canvas.
    aspect = rng.uniform(max(1 / _MAX_ASPECT, scale * scale), min(_MAX_ASPECT, 1 / (scale * scale)))
    width = (right - left) * scale * math.sqrt(aspect)
    height = (bottom - top) * scale / math.sqrt(aspect)
    x = rng.uniform(left, right - width)
    y = rng.uniform(top, bottom - height)
    return x, y, x + width, y + height


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _iou(a: Box, b: Box) -> float:
    # Plain floats: for the two or three boxes of an image this is ten times faster than NumPy.
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / (_area(a) + _area(b) - overlap)


def _has_centre(window: Box, box: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return window[0] < x < window[2] and window[1] < y < window[3]


class SSDGeometry(A.DualTransform):  # type: ignore[misc]
    """Random expand, IoU-constrained crop, horizontal flip and resize, rendered by one resize.

    Boxes are cut at the border of the output; boxes whose centre falls outside are dropped.

    Args:
        size: output ``(height, width)``.
        fill: RGB in 0..255 around an expanded image; the mean of the network's training set.
        expand_probability: chance of an expansion.
        max_expand: largest side of the expanded canvas, in sides of the image.
        crop: whether to crop.
        flip_probability: chance of a mirror image.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.BBOXES)

    def __init__(
        self,
        size: tuple[int, int],
        fill: Sequence[float],
        expand_probability: float = 0.5,
        max_expand: float = 4.0,
        crop: bool = True,
        flip_probability: float = 0.5,
    ) -> None:
        super().__init__(p=1.0)
        self.size = size
        self.fill = tuple(fill)
        self.expand_probability = expand_probability
        self.max_expand = max_expand
        self.crop = crop
        self.flip_probability = flip_probability

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the warp and the interpolation of one image."""
        height, width = params["shape"][:2]
        rng = self.py_random
        boxes = [
            (float(x1) * width, float(y1) * height, float(x2) * width, float(y2) * height)
            for x1, y1, x2, y2 in data["bboxes"][:, :4]
        ]
        window: Box = (0.0, 0.0, float(width), float(height))
        if rng.random() < self.expand_probability:
            window = sample_expansion(height, width, self.max_expand, rng)
        if self.crop:
            window = sample_crop(window, boxes, rng)
        warp = Warp.of(window, (height, width), self.size, mirror=rng.random() < self.flip_probability)
        return {"warp": warp, "interpolation": rng.choice(INTERPOLATIONS)}

    def apply(
        self, img: NDArray[np.uint8], warp: Warp, interpolation: int, **params: Any
    ) -> NDArray[np.uint8]:
        """Render the output."""
        return warp.render(img, self.size, self.fill, interpolation)

    def apply_to_bboxes(self, bboxes: NDArray[np.float32], warp: Warp, **params: Any) -> NDArray[np.float32]:
        """Map boxes (and whatever columns travel with them) into the output; drop those centred outside."""
        height, width = params["shape"][:2]
        inputs = np.array([width, height, width, height], dtype=np.float64)
        outputs = np.array([self.size[1], self.size[0]] * 2, dtype=np.float32)
        mapped = warp.map_boxes(bboxes[:, :4] * inputs, self.size) / outputs
        centres = (mapped[:, :2] + mapped[:, 2:]) / 2
        kept = ((centres > 0) & (centres < 1)).all(axis=1)
        return np.concatenate([mapped.clip(0, 1), bboxes[:, 4:]], axis=1)[kept]
