"""The page of a report, and its metrics as plain values and in the terminal."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from detection.drawing.colours import OUTCOME_COLOURS
from detection.drawing.page import ThemedPicture, render_template
from detection.drawing.photos import LEGEND
from detection.metrics.analysis import Analysis
from detection.metrics.errors import ErrorKind
from detection.report.curves import confusion_note, curves_note, shown_classes
from detection.report.gallery import Matrix, Shown
from detection.report.panels import make_panels


class ClassRow(NamedTuple):
    """The metrics of one class; None where it has nothing to find, or nothing was found."""

    name: str
    ap_07: float | None
    ap_area: float | None
    objects: int
    difficult: int
    detections: int
    precision: float | None
    recall: float | None
    threshold: float | None
    """Where F1 is best; precision and recall are those at this score."""


def class_rows(analysis: Analysis, class_names: Sequence[str]) -> list[ClassRow]:
    """The metrics of all classes.

    Args:
        analysis: the evaluation.
        class_names: by label.
    """
    voc = analysis.voc
    return [
        ClassRow(
            name,
            defined(voc.ap_07[label]),
            defined(voc.ap_area[label]),
            int(voc.num_gt[label]),
            int(analysis.num_difficult[label]),
            int(analysis.num_detections[label]),
            defined(analysis.points[label].precision),
            defined(analysis.points[label].recall),
            defined(analysis.points[label].threshold),
        )
        for label, name in enumerate(class_names)
    ]


def plain_metrics(analysis: Analysis, class_names: Sequence[str]) -> dict[str, Any]:
    """The metrics as ``metrics.json`` holds them: plain values, None where one is undefined.

    Args:
        analysis: the evaluation.
        class_names: by label.
    """
    voc, coco, calibration = analysis.voc, analysis.coco, analysis.calibration
    return {
        "voc": {"map_07": defined(voc.map_07), "map_area": defined(voc.map_area)},
        "coco": coco and {name: defined(value) for name, value in coco.items()},
        "classes": {row.name: row._asdict() for row in class_rows(analysis, class_names)},
        "counts": {
            "images": len(analysis.images.true_positives),
            "objects": int(voc.num_gt.sum()),
            "difficult": int(analysis.num_difficult.sum()),
            "detections": int(analysis.num_detections.sum()),
        },
        "best_f1": {name: defined(value) for name, value in analysis.point._asdict().items()},
        "threshold": analysis.threshold,
        "map_area_above_threshold": defined(analysis.map_above),
        "calibration_error": defined(calibration.ece),
        "errors": {
            kind: {"count": analysis.error_counts[kind], "map_cost": defined(cost)}
            for kind, cost in analysis.error_costs.items()
        },
        "confusion": analysis.confusion.tolist(),
    }


_MOST_ABSENT = 5  # rows of classes without objects, as of COCO's classes on another set


def class_table(analysis: Analysis, class_names: Sequence[str]) -> Table:
    """The classes as a table for the terminal, with the means below.

    Args:
        analysis: the evaluation.
        class_names: by label.
    """
    means = [analysis.voc.map_07, analysis.voc.map_area]
    table = Table(title="average precision at IoU 0.5; precision and recall at the best F1", show_footer=True)
    table.add_column("class", footer="mean")
    for heading, mean in zip(("AP, 11 points", "AP, area"), means, strict=True):
        table.add_column(heading, justify="right", footer=shown(mean))
    table.add_column("objects", justify="right", footer=str(int(analysis.voc.num_gt.sum())))
    for heading in ("precision", "recall", "score"):
        table.add_column(heading, justify="right")
    rows = class_rows(analysis, class_names)
    absent = sum(row.objects == 0 for row in rows)
    if absent > _MOST_ABSENT:
        rows = [row for row in rows if row.objects]
        table.caption = f"{absent} classes more have no objects here."
    for row in rows:
        scores = [shown(value) for value in (row.precision, row.recall, row.threshold)]
        table.add_row(row.name, shown(row.ap_07), shown(row.ap_area), str(row.objects), *scores)
    return table


def defined(value: Any) -> float | None:
    """A number, None in place of nan, which JSON does not have."""
    return None if math.isnan(value) else float(value)


def shown(value: float | None) -> str:
    """A share for people to read."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


ERROR_MEANINGS: dict[ErrorKind, str] = {
    "localisation": "the right class, but the box has an IoU of 0.1 to 0.5 with the object",
    "confusion": "a box with an IoU of 0.5 or more, but the wrong class",
    "both": "the wrong class, and an IoU of 0.1 to 0.5",
    "duplicate": "one more box of an object that was found",
    "background": "nothing is there: an IoU below 0.1",
    "missed": "an object that was neither found nor the aim of a localisation or confusion error",
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
    about: dict[str, str]
    """What is to be known of the model and of how it was run, by what it is."""
    remarks: Sequence[str]
    """What is to be known before the metrics are believed."""
    class_names: Sequence[str]
    losses: dict[str, float]
    analysis: Analysis
    pictures: dict[str, ThemedPicture]
    training: list[ThemedPicture]
    """The curves of the training; empty where they are not known."""
    matrix: Matrix
    gallery: list[Shown]
    """The worst first."""


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
        panels=make_panels(page.analysis, page.class_names),
        shown_curves=len(shown_classes(page.analysis)),
        colours=OUTCOME_COLOURS,
        legend=LEGEND,
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
