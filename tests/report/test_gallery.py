"""Which images are shown, and what is drawn on them."""

import io

import numpy as np
import torch
from PIL import Image

from detection.drawing.colours import OUTCOME_COLOURS
from detection.drawing.painter import outcome_marks
from detection.drawing.photos import draw_photo
from detection.metrics.analysis import analyse
from detection.metrics.errors import ERROR_KINDS
from detection.metrics.operating_point import ImageCounts
from detection.metrics.outcomes import outcomes_of_image
from detection.report.gallery import choose_images, error_tokens, error_words, worst_and_best
from detection.types import Detections, Target
from tests.report.conftest import evaluation


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
    marks = outcome_marks(outcomes_of_image(found, target, 0.5), ["x", "y"])
    pixels = np.asarray(Image.open(io.BytesIO(draw_photo(image, marks, 640))))
    assert abs(pixels.shape[0] / pixels.shape[1] - 100 / 120) < 0.01
    assert colour_at(pixels, 30 / 120, 0.30, OUTCOME_COLOURS["true_positive"])
    assert colour_at(pixels, 40 / 120, 0.70, OUTCOME_COLOURS["false_positive"])
    assert colour_at(pixels, 90 / 120, 0.32, OUTCOME_COLOURS["missed"])
    assert not colour_at(pixels, 80 / 120, 0.70, OUTCOME_COLOURS["false_positive"]), "below the threshold"


def test_the_gallery_is_bounded_and_has_each_kind_of_error() -> None:
    detections, targets = evaluation(400, num_classes=9)
    analysis = analyse(detections, targets, 9, with_coco=False)
    chosen = choose_images(analysis, 3)
    assert len(chosen) == len(set(chosen)) <= 2 * 3 + 6 * 3 + 2 * 3
    worst, best = worst_and_best(analysis.images, 3)
    assert {*worst, *best} <= {*chosen}
    f1 = analysis.images.f1[chosen]
    assert (np.diff(f1) >= 0).all(), "the worst first"
    tokens = error_tokens(analysis)
    shown = {token.partition(":")[0] for image in chosen for token in tokens.get(image, [])}
    assert {kind for kind in ERROR_KINDS if analysis.error_counts[kind]} <= shown
    assert choose_images(analysis, 0) == []
    words = error_words(analysis, [f"class {label}" for label in range(9)])
    assert words.keys() == {image for image, found in tokens.items() if any("found" not in t for t in found)}
    image = int(analysis.errors.images[analysis.errors.kinds == ERROR_KINDS.index("missed")][0])
    assert "missed: " in words[image]
    for kind, count in analysis.error_counts.items():
        images = {image for image, found in tokens.items() if any(token.startswith(kind) for token in found)}
        assert len(images) <= count
        assert bool(images) == bool(count)
