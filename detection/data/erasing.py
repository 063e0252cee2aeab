"""Random erasing (Zhong et al., 2020): noise over a rectangle, so that no part of an object is enough."""

import math
import random
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

# Section 4.1 of the paper; its largest rectangles, 0.4 of an image, are meant for images of one object.
_AREAS = (0.02, 0.2)
_LARGEST_ASPECT = 10 / 3
_MOST_OF_AN_OBJECT = 0.5
_TRIALS = 10


class RandomErasing(A.ImageOnlyTransform):  # type: ignore[misc]
    """Fills a rectangle with noise. No object loses more than half of its box, so all boxes stay.

    Of ten rectangles the first that allows this is taken, none if there is no such.

    Args:
        p: chance of an image to lose a rectangle.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the rectangle, ``(left, top, right, bottom)``, and the noise in it."""
        height, width = params["shape"][:2]
        boxes = np.asarray(data["bboxes"], dtype=np.float64)[:, :4] * [width, height, width, height]
        for _ in range(_TRIALS):
            rectangle = _draw(height, width, self.py_random)
            if (_shares(boxes, rectangle) <= _MOST_OF_AN_OBJECT).all():
                left, top, right, bottom = rectangle
                noise = self.random_generator.integers(0, 256, (bottom - top, right - left, 3), np.uint8)
                return {"rectangle": rectangle, "noise": noise}
        return {"rectangle": None, "noise": None}

    def apply(
        self,
        img: NDArray[np.uint8],
        rectangle: tuple[int, int, int, int] | None,
        noise: NDArray[np.uint8],
        **params: Any,
    ) -> NDArray[np.uint8]:
        """Fill the rectangle."""
        if rectangle is None:
            return img
        left, top, right, bottom = rectangle
        erased = img.copy()
        erased[top:bottom, left:right] = noise
        return erased


def _draw(height: int, width: int, rng: random.Random) -> tuple[int, int, int, int]:
    area = rng.uniform(*_AREAS) * height * width
    aspect = math.exp(rng.uniform(-math.log(_LARGEST_ASPECT), math.log(_LARGEST_ASPECT)))
    down = min(height, max(1, round(math.sqrt(area / aspect))))
    across = min(width, max(1, round(math.sqrt(area * aspect))))
    left, top = rng.randint(0, width - across), rng.randint(0, height - down)
    return left, top, left + across, top + down


def _shares(boxes: NDArray[np.float64], rectangle: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """What share of each ``(N, 4)`` box lies in the rectangle."""
    left, top, right, bottom = rectangle
    across = (np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)).clip(0)
    down = (np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)).clip(0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.asarray(across * down / areas.clip(1e-9), dtype=np.float64)
