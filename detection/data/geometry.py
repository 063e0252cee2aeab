"""SSD's training geometry: expand, IoU-constrained crop, flip and resize as ONE affine warp.

Each of the four steps only chooses a window: expanding puts the image on a larger canvas, cropping
takes a part of that canvas, resizing maps the part onto the output, flipping mirrors it. So a
:class:`View` (a window in the pixels of the original image, and a mirror bit) holds the outcome of all
four, and the pixels are touched once.
"""

import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

# SSD paper, section 2.2: a crop must overlap every object by at least this IoU. (None: any overlap.)
MIN_IOUS = (0.1, 0.3, 0.5, 0.7, 0.9, None)
_CROP_TRIALS = 50
_CROP_SCALES = (0.3, 1.0)
_MAX_ASPECT = 2.0
_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


class View(NamedTuple):
    """The part of the plane that becomes the output image, in pixels of the input image."""

    window: Box
    mirror: bool = False

    def map_boxes(self, boxes: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """Map ``(N, 4)`` input boxes into an output of ``size`` (height, width); nothing is clipped."""
        x1, y1, x2, y2 = self.window
        scale = np.array([size[1] / (x2 - x1), size[0] / (y2 - y1)] * 2)
        mapped = (boxes - np.array([x1, y1, x1, y1])) * scale
        if self.mirror:
            mapped[:, [0, 2]] = size[1] - mapped[:, [2, 0]]
        return np.asarray(mapped, dtype=np.float32)

    def warp(
        self, image: NDArray[np.uint8], size: tuple[int, int], fill: Sequence[float], interpolation: int
    ) -> NDArray[np.uint8]:
        """Render the view of an ``(H, W, 3)`` image at ``size``; outside the image lies ``fill``."""
        (height, width), (x1, y1, x2, y2) = size, self.window
        in_height, in_width = image.shape[:2]
        # A window inside the image ends where its pixels end; there, the fill must not bleed in.
        inside = x1 >= 0 and y1 >= 0 and x2 <= in_width and y2 <= in_height
        # One affine warp samples without a low-pass filter. Averaging whole blocks of pixels first keeps
        # strongly shrunk images (a 4x expansion) free of aliasing.
        block_w, block_h = max(1, int((x2 - x1) / width)), max(1, int((y2 - y1) / height))
        if block_w * block_h > 1:
            reduced = max(1, in_width // block_w), max(1, in_height // block_h)
            image = np.asarray(cv2.resize(image, reduced, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            scale_x, scale_y = reduced[0] / in_width, reduced[1] / in_height
            x1, x2, y1, y2 = x1 * scale_x, x2 * scale_x, y1 * scale_y, y2 * scale_y
        ax, ay = width / (x2 - x1), height / (y2 - y1)
        bx, by = -x1 * ax, -y1 * ay
        if self.mirror:
            ax, bx = -ax, width - bx
        # Box coordinates run along pixel edges, OpenCV's along pixel centres: half a pixel apart.
        matrix = np.array([[ax, 0, bx + 0.5 * ax - 0.5], [0, ay, by + 0.5 * ay - 0.5]])
        warped = cv2.warpAffine(
            image,
            matrix,
            (width, height),
            flags=interpolation,
            borderMode=cv2.BORDER_REPLICATE if inside else cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
        return np.asarray(warped, dtype=np.uint8)


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
    rules: list[float | str | None] = ["whole", *MIN_IOUS] if boxes else [None]
    rng.shuffle(rules)
    for rule in rules:
        if rule == "whole":
            return canvas
        for _ in range(_CROP_TRIALS):
            crop = _sample_window(canvas, rng)
            if not boxes:
                return crop
            enough = rule is None or all(_iou(box, crop) >= float(rule) for box in boxes)
            if enough and any(_has_centre(crop, box) for box in boxes):
                return crop
    return canvas


def _sample_window(canvas: Box, rng: random.Random) -> Box:
    """Draw a window of 0.3 to 1 of the canvas's sides and an aspect ratio of 1/2 to 2 relative to it."""
    left, top, right, bottom = canvas
    scale = rng.uniform(*_CROP_SCALES)
    # These bounds keep the window inside the canvas.
    aspect = rng.uniform(max(1 / _MAX_ASPECT, scale * scale), min(_MAX_ASPECT, 1 / (scale * scale)))
    width = (right - left) * scale * math.sqrt(aspect)
    height = (bottom - top) * scale / math.sqrt(aspect)
    x = rng.uniform(left, right - width)
    y = rng.uniform(top, bottom - height)
    return x, y, x + width, y + height


def _iou(a: Box, b: Box) -> float:
    # Plain floats: for the two or three boxes of an image this is ten times faster than NumPy.
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return overlap / (area_a + area_b - overlap)


def _has_centre(window: Box, box: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return window[0] < x < window[2] and window[1] < y < window[3]


class SSDGeometry(A.DualTransform):  # type: ignore[misc]
    """Random expand, IoU-constrained crop, horizontal flip and resize, rendered by one warp.

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
        """Draw the view and the interpolation of one image."""
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
        view = View(window, mirror=rng.random() < self.flip_probability)
        return {"view": view, "interpolation": rng.choice(_INTERPOLATIONS)}

    def apply(
        self, img: NDArray[np.uint8], view: View, interpolation: int, **params: Any
    ) -> NDArray[np.uint8]:
        """Render the view."""
        return view.warp(img, self.size, self.fill, interpolation)

    def apply_to_bboxes(self, bboxes: NDArray[np.float32], view: View, **params: Any) -> NDArray[np.float32]:
        """Map boxes (and whatever columns travel with them) into the view; drop those centred outside."""
        height, width = params["shape"][:2]
        inputs = np.array([width, height, width, height], dtype=np.float64)
        outputs = np.array([self.size[1], self.size[0]] * 2, dtype=np.float32)
        mapped = view.map_boxes(bboxes[:, :4] * inputs, self.size) / outputs
        centres = (mapped[:, :2] + mapped[:, 2:]) / 2
        kept = ((centres > 0) & (centres < 1)).all(axis=1)
        return np.concatenate([mapped.clip(0, 1), bboxes[:, 4:]], axis=1)[kept]
