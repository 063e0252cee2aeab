"""Figures, also of evaluations in which there is little to show."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from detection.metrics.analysis import Analysis
from detection.report.figures import make_figures
from detection.report.report import Subject
from detection.report.theme import DARK, DPI, LIGHT, Theme, render
from detection.types import Detections, Target

Make = Callable[..., tuple[Subject, Analysis]]
NAMES = {"precision_recall", "errors", "confusion", "calibration", "recall_by_size"}


def draw_all(subject: Subject, analysis: Analysis, theme: Theme = LIGHT) -> dict[str, np.ndarray]:
    drawn = {}
    for name, picture in make_figures(analysis, subject.class_names).items():
        image = Image.open(io.BytesIO(render(picture.draw, picture.size, theme)))
        assert image.size == pytest.approx([inches * DPI for inches in picture.size], abs=1)
        drawn[name] = np.asarray(image.convert("RGB"))
    return drawn


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn_on_the_ground_of_the_page(make_subject: Make, theme: Theme) -> None:
    drawn = draw_all(*make_subject(), theme)
    assert drawn.keys() == NAMES
    ground = [int(theme.background[i : i + 2], 16) for i in (1, 3, 5)]
    main = [int(theme.main[i : i + 2], 16) for i in (1, 3, 5)]
    for name, pixels in drawn.items():
        assert pixels[0, 0].tolist() == ground, name
        assert (pixels != ground).any(), name
    for name in NAMES - {"confusion"}:
        assert (drawn[name] == main).all(axis=2).any(), f"{name} shows nothing"


@pytest.mark.parametrize("number", [1, 2, 31])
def test_any_number_of_classes_is_drawn(make_subject: Make, number: int) -> None:
    names = [f"class {i}" for i in range(number)]
    assert draw_all(*make_subject(class_names=names)).keys() == NAMES


def test_nothing_found_is_drawn(
    make_subject: Make, nothing_found: tuple[list[Detections], list[Target]]
) -> None:
    assert draw_all(*make_subject(*nothing_found)).keys() == NAMES
