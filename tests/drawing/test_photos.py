"""Photos with boxes: for pages, and several in one picture."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.drawing.colours import OUTCOME_COLOURS, in_bytes
from detection.drawing.painter import Mark, outcome_marks
from detection.drawing.photos import draw_photo, plot_predictions
from detection.types import Outcome

OUTCOMES = [
    Outcome([10, 20, 60, 80], 0, None, "found"),
    Outcome([70, 20, 110, 70], 1, None, "missed"),
    Outcome([12, 22, 62, 82], 0, 0.9, "true_positive"),
    Outcome([20, 85, 50, 98], 1, 0.6, "false_positive"),
]


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def test_a_photo_has_the_shape_of_its_crop() -> None:
    for crop, shape in ((None, 0.75), ((-20, 0, 120, 75), 75 / 140), ((0, 0, 10, 75), 1.8)):
        photo = Image.open(
            io.BytesIO(draw_photo(grey(75, 100), [Mark((5, 5, 20, 20), "a", "#ffffff")], 320, crop))
        )
        assert photo.width == 320
        assert photo.height / photo.width == pytest.approx(shape, abs=0.01)


def test_predictions_have_the_colours_of_the_report_and_a_legend(tmp_path: Path) -> None:
    sizes = [(100, 120), (300, 40), (60, 60), (480, 640)]
    images = [grey(*size) for size in sizes]
    ids = [f"image {i}" for i in range(4)]
    plot_predictions(
        images, [OUTCOMES, [], [], OUTCOMES], ids, ["cat", "dog"], tmp_path / "predictions.png", 0.5
    )
    picture = np.asarray(Image.open(tmp_path / "predictions.png").convert("RGB"))
    legend, below = picture[:60], picture[60:]
    for kind in ("true_positive", "false_positive", "missed", "found"):
        for part in (legend, below):
            assert (part == in_bytes(OUTCOME_COLOURS[kind])).all(axis=2).sum() > 30, kind
    row = below[100]
    gaps = np.flatnonzero(np.diff((row == 255).all(axis=1).astype(int)))
    assert np.diff(gaps).max() > 100
    white = (row == 255).all(axis=1).mean()
    assert white < 0.1, "images fill the row"


def test_what_was_missed_is_dashed_and_what_was_found_is_thin() -> None:
    found, missed, true_positive, false_positive = outcome_marks(OUTCOMES, ["cat", "dog"])
    assert (found.text, missed.text) == ("", "dog")
    assert (true_positive.text, false_positive.text) == ("cat 0.90", "dog 0.60")
    assert missed.dashed
    assert not true_positive.dashed
    assert found.width < true_positive.width
