"""The page of a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.drawing.page import Photo, render_template
from detection.drawing.theme import ThemedPicture
from detection.metrics.analysis import Analysis
from detection.metrics.errors import ErrorKind
from detection.report.confused import confusion_note
from detection.report.curves import curves_note
from detection.report.images import FALSE_ALARM, HIT, MISSED, TRUE_BOX
from detection.report.summary import class_rows, shown

ERROR_MEANINGS: dict[ErrorKind, str] = {
    "localisation": "the right class, but the box overlaps the object by less than 0.5",
    "confusion": "a good box with the wrong class",
    "both": "the wrong class, and a box that overlaps by less than 0.5",
    "duplicate": "an object that was found already",
    "background": "nothing is there: overlap below 0.1",
    "missed": "an object that was neither found nor the aim of the first two",
}
SHOWN_CONFUSIONS = 8


class Confusion(NamedTuple):
    """One class taken for another."""

    true: str
    detected: str
    objects: int
    share: float
    """Of the objects of the true class."""


class Page(NamedTuple):
    """What is on the page."""

    ckpt: str
    command: str
    data: str
    class_names: Sequence[str]
    losses: dict[str, float]
    analysis: Analysis
    pictures: dict[str, ThemedPicture]
    worst: list[Photo]
    best: list[Photo]


def render_page(page: Page) -> str:
    """Write the page as HTML."""
    return render_template(
        Path(__file__).with_name("evaluation.html.jinja"),
        {"share": shown},
        page=page,
        analysis=page.analysis,
        rows=class_rows(page.analysis, page.class_names),
        confusions=_confusions(page),
        curves_note=curves_note(page.analysis),
        confusion_note=confusion_note(page.analysis.confusion),
        error_meanings=ERROR_MEANINGS,
        colours={"hit": HIT, "false_alarm": FALSE_ALARM, "missed": MISSED, "true_box": TRUE_BOX},
    )


def _confusions(page: Page) -> list[Confusion]:
    """The most frequent pairs of different classes."""
    counts, names = page.analysis.confusion, page.class_names
    totals = counts.sum(axis=1)
    pairs = [
        Confusion(names[i], names[j], int(counts[i, j]), counts[i, j] / totals[i])
        for i, j in np.argwhere(counts[:-1, :-1])
        if i != j
    ]
    return sorted(pairs, key=lambda pair: -pair.objects)[:SHOWN_CONFUSIONS]
