"""Figures, also of evaluations in which there is little to show."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detection.drawing.page import DARK, DPI, LIGHT, Picture, Theme, render
from detection.metrics.analysis import Analysis
from detection.report.curves import confusion_note, most_confused
from detection.report.figures import make_figures
from detection.report.report import Subject
from detection.types import Detections, Target

Make = Callable[..., tuple[Subject, Analysis]]
NAMES = {"precision_recall", "errors", "confusion", "calibration", "recall_by_size"}


def draw(picture: Picture) -> Axes:
    figure = Figure(figsize=picture.size)
    picture.draw(figure, LIGHT)
    return figure.axes[0]


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


@pytest.mark.parametrize("number", [1, 2, 31, 120])
def test_any_number_of_classes_is_drawn(make_subject: Make, number: int) -> None:
    names = [f"class {i}" for i in range(number)]
    assert draw_all(*make_subject(class_names=names)).keys() == NAMES


def test_hundreds_of_classes_are_one_pair_of_axes_of_a_sane_size(make_subject: Make) -> None:
    """Axes of their own, which share scales, take quadratic time: over a hundred seconds for 500 classes."""
    subject, analysis = make_subject(class_names=[f"class {i}" for i in range(500)], with_coco=False)
    pictures = make_figures(analysis, subject.class_names)
    for name in ("precision_recall", "confusion"):
        figure = Figure(figsize=pictures[name].size)
        pictures[name].draw(figure, LIGHT)
        assert len(figure.axes) == 1
        assert max(pictures[name].size) * DPI < 9000
    written = "".join(text.get_text() for text in draw(pictures["precision_recall"]).texts)
    with_objects = np.flatnonzero(analysis.voc.num_gt)
    assert all(f"class {label}  " in written for label in with_objects)
    assert "no objects" not in written, "they would hide those that have some"
    assert f"Of 500 classes {len(with_objects)} are shown" in pictures["precision_recall"].alt


def test_the_most_confused_classes_have_rows_and_the_others_share_one() -> None:
    names = [f"class {i}" for i in range(200)]
    counts = np.random.default_rng(0).integers(0, 2, (201, 201))
    counts[-1, -1] = 0
    counts[7, 150] += 1000
    counts[150, -1] += 5
    confused = most_confused(counts, names)
    assert confused.counts.shape == (82, 82)
    assert confused.counts.sum() == counts.sum()
    assert confused.rows[-2:] == ["120 others", "background"]
    assert confused.columns[-1] == "missed"
    row, column = confused.rows.index("class 7"), confused.columns.index("class 150")
    assert confused.counts[row, column] == counts[7, 150]
    assert confused.counts[column, -1] == counts[150, -1]
    assert confused.counts[-1, row] == counts[-1, 7]
    assert "Of 200 classes 80 are shown" in confusion_note(counts)

    few = most_confused(counts[:80, :80], names[:79])
    assert np.array_equal(few.counts, counts[:80, :80])
    assert confusion_note(counts[:80, :80]) == ""
    rare = np.zeros((201, 201), dtype=np.int64)
    rare[3, 5] = 2
    assert most_confused(rare, names).rows == ["class 3", "class 5", "198 others", "background"]


def test_names_with_dollars_are_no_formulas(make_subject: Make) -> None:
    subject, analysis = make_subject(class_names=["$\\frac$", "a very long name of a class " * 3, "5 $"])
    assert draw_all(subject, analysis).keys() == NAMES


def test_nothing_found_is_drawn(
    make_subject: Make, nothing_found: tuple[list[Detections], list[Target]]
) -> None:
    assert draw_all(*make_subject(*nothing_found)).keys() == NAMES
