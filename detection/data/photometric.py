"""SSD's photometric distortion as one colour matrix.

Brightness adds a constant, contrast scales, saturation blends with grey, hue rotates the chroma plane:
each is affine in RGB, so any chain of them is one 3x4 matrix, applied (and clipped to 0..255) once.
"""

import math
import random
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def contrast_matrix(factor: float) -> Matrix:
    """Scale all channels: ``(3, 3)``."""
    return np.eye(3) * factor


def saturation_matrix(factor: float) -> Matrix:
    """Blend each pixel with its grey value: 0 gives grey, 1 the identity; ``(3, 3)``."""
    return np.eye(3) * factor + (1 - factor) * np.tile(_LUMA, (3, 1))


def hue_matrix(degrees: float) -> Matrix:
    """Rotate hue in YIQ space, keeping luma: ``(3, 3)``."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return np.asarray(_FROM_YIQ @ rotation @ _TO_YIQ)


def sample_colour_matrix(
    rng: random.Random, brightness: float, contrast: float, saturation: float, hue: float
) -> Matrix:
    """Draw a ``(3, 4)`` colour matrix: each of the four steps happens with probability one half.

    Contrast comes first or last by the toss of a coin, as in the SSD implementation of the paper's authors.
    """
    offset = rng.uniform(-brightness, brightness) if rng.random() < 0.5 else 0.0
    chroma = []
    if rng.random() < 0.5:
        chroma.append(saturation_matrix(rng.uniform(1 - saturation, 1 + saturation)))
    if rng.random() < 0.5:
        chroma.append(hue_matrix(rng.uniform(-hue, hue)))
    scale = [contrast_matrix(rng.uniform(1 - contrast, 1 + contrast))] if rng.random() < 0.5 else []
    steps = scale + chroma if rng.random() < 0.5 else chroma + scale
    matrix = np.eye(3)
    for step in steps:
        matrix = step @ matrix
    # Brightness is first in the chain, so the rest of the chain acts on the offset too.
    return np.column_stack([matrix, matrix @ np.full(3, offset)])


class PhotometricDistort(A.ImageOnlyTransform):  # type: ignore[misc]
    """Random brightness, contrast, saturation and hue, each with probability one half.

    Args:
        brightness: largest offset, in grey levels of 0..255.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
        hue: largest rotation, in degrees.
    """

    def __init__(
        self, brightness: float = 32.0, contrast: float = 0.5, saturation: float = 0.5, hue: float = 18.0
    ) -> None:
        super().__init__(p=1.0)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def get_params(self) -> dict[str, Any]:
        """Draw the colour matrix of one image."""
        matrix = sample_colour_matrix(
            self.py_random, self.brightness, self.contrast, self.saturation, self.hue
        )
        return {"matrix": matrix}

    def apply(self, img: NDArray[np.uint8], matrix: Matrix, **params: Any) -> NDArray[np.uint8]:
        """Apply the matrix to a uint8 RGB image; values are rounded and clipped to 0..255."""
        return np.asarray(cv2.transform(img, matrix), dtype=np.uint8)
