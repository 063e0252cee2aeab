"""Which images are shown, and what is drawn on them."""

import io

import numpy as np
import torch
from PIL import Image

from detection.metrics.operating_point import ImageCounts
from detection.report.images import FALSE_POSITIVE, MISSED, TRUE_POSITIVE, draw_outcome, worst_and_best
from detection.types import Detections, Target


def test_the_worst_have_most_errors_and_the_best_most_hits() -> None:
    #                                  F1:     1/2  0  0  1  1  1 (empty)
    counts = ImageCounts(
        np.array([1, 0, 0, 2, 3, 0]), np.array([1, 1, 4, 0, 0, 0]), np.array([1, 0, 0, 0, 0, 0])
    )
    assert worst_and_best(counts, 2) == ([2, 1], [4, 3])
    assert worst_and_best(counts, 9) == ([2, 1, 0], [4, 3])
    assert worst_and_best(counts, 0) == ([], [])


def colour_at(pixels: np.ndarray, x: float, y: float, colour: str) -> bool:
    """Whether a colour is near a point given in shares of the image."""
    row, column = round(y * pixels.shape[0]), round(x * pixels.shape[1])
    near = pixels[row - 6 : row + 7, column - 6 : column + 7].astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((abs(near - wanted).max(axis=2) < 70).any())


def test_boxes_have_the_colour_of_their_outcome() -> None:
    target = Target(
        boxes=torch.tensor([[10.0, 20, 30, 40], [60, 20, 90, 45]]),
        labels=torch.tensor([0, 1]),
        difficult=torch.tensor([False, False]),
        image_id="a",
        size=(100, 120),
    )
    found = Detections(
        boxes=torch.tensor([[10.0, 20, 30, 40], [10, 60, 40, 80], [60, 60, 80, 80]]),
        scores=torch.tensor([0.9, 0.8, 0.2]),
        labels=torch.tensor([0, 1, 1]),
    )
    image = np.full((100, 120, 3), 60, dtype=np.uint8)
    pixels = np.asarray(Image.open(io.BytesIO(draw_outcome(image, found, target, ["x", "y"], 0.5))))
    assert abs(pixels.shape[0] / pixels.shape[1] - 100 / 120) < 0.01
    assert colour_at(pixels, 30 / 120, 0.30, TRUE_POSITIVE)
    assert colour_at(pixels, 40 / 120, 0.70, FALSE_POSITIVE)
    assert colour_at(pixels, 90 / 120, 0.32, MISSED)
    assert not colour_at(pixels, 80 / 120, 0.70, FALSE_POSITIVE), "below the threshold"
