"""Two evaluations of the same images side by side: what got better, and what got worse."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.drawing.colours import OUTCOME_COLOURS
from detection.drawing.page import Photo, render_template
from detection.drawing.photos import LEGEND
from detection.metrics.analysis import Analysis
from detection.metrics.tables import BoolArray, IntArray, make_tables
from detection.metrics.voc_ap import judge
from detection.report.page import class_rows, defined, shown
from detection.report.report import Subject, draw_image


class Evaluated(NamedTuple):
    """An evaluation and where its own report is."""

    subject: Subject
    analysis: Analysis
    report: Path


class Row(NamedTuple):
    """A metric of both; None where it is undefined."""

    name: str
    a: float | None
    b: float | None

    @property
    def change(self) -> float | None:
        """From a to b."""
        return None if self.a is None or self.b is None else self.b - self.a


class ClassChange(NamedTuple):
    """A class in both."""

    name: str
    ap_07: Row
    ap_area: Row
    objects: int
    found: tuple[int, int, int]
    """Objects that both found, only a, and only b."""


class ImageChange(NamedTuple):
    """An image in both."""

    a: Photo
    b: Photo
    note: str


def write_comparison(path: Path, a: Evaluated, b: Evaluated, num_images: int) -> None:
    """Write the page that compares two evaluations.

    Args:
        path: HTML file to write.
        a: the first.
        b: the second, of the same images and classes.
        num_images: so many of the images that got better, and of those that got worse, are shown.

    Raises:
        ValueError: they are of different images or classes.
    """
    _refuse_others(a.subject, b.subject)
    change = b.analysis.images.f1 - a.analysis.images.f1
    order = np.argsort(change, kind="stable")
    worse, better = order[: (change < 0).sum()], order[::-1][: (change > 0).sum()]
    page = render_template(
        Path(__file__).with_name("comparison.html.jinja"),
        {"share": shown, "signed": _signed},
        a=a,
        b=b,
        links=[os.path.relpath(one.report, path.parent) for one in (a, b)],
        totals=_totals(a.analysis, b.analysis),
        errors=_errors(a.analysis, b.analysis),
        classes=_class_changes(a, b),
        counts={"better": len(better), "worse": len(worse), "same": len(change) - len(better) - len(worse)},
        better=_draw(better[:num_images].tolist(), a, b),
        worse=_draw(worse[:num_images].tolist(), a, b),
        legend=LEGEND,
        colours=OUTCOME_COLOURS,
    )
    path.write_text(page, encoding="utf-8")


def _refuse_others(a: Subject, b: Subject) -> None:
    if list(a.class_names) != list(b.class_names):
        raise ValueError(
            f"{a.ckpt} and {b.ckpt} know different classes ({', '.join(a.class_names[:5])} ... and "
            f"{', '.join(b.class_names[:5])} ...), which cannot be compared; each has its own report."
        )
    if [target["image_id"] for target in a.targets] != [target["image_id"] for target in b.targets]:
        raise ValueError(
            f"{a.ckpt} and {b.ckpt} were evaluated on different images, as their own splits of the data say; "
            "each has its own report."
        )


def _signed(value: float | None) -> str:
    """A change for people to read."""
    return "-" if value is None else f"{value:+.3f}"


def _totals(a: Analysis, b: Analysis) -> list[Row]:
    pairs = [
        ("VOC mAP, 11 points (2007)", a.voc.map_07, b.voc.map_07),
        ("VOC mAP, area (2010 on)", a.voc.map_area, b.voc.map_area),
    ]
    if a.coco and b.coco:
        pairs.append(("COCO AP, IoU 0.50 to 0.95", a.coco["map"], b.coco["map"]))
    pairs += [
        ("best F1 over all classes", a.point.f1, b.point.f1),
        ("calibration error (ECE)", a.calibration.ece, b.calibration.ece),
    ]
    return [Row(name, defined(one), defined(other)) for name, one, other in pairs]


def _errors(a: Analysis, b: Analysis) -> list[tuple[str, int, int]]:
    return [(kind, count, b.error_counts[kind]) for kind, count in a.error_counts.items()]


def _class_changes(a: Evaluated, b: Evaluated) -> list[ClassChange]:
    """The classes that have objects."""
    (in_a, labels), (in_b, _) = _found(a), _found(b)
    changes = []
    rows = zip(*(class_rows(one.analysis, one.subject.class_names) for one in (a, b)), strict=True)
    for label, (row_a, row_b) in enumerate(rows):
        if not row_a.objects:
            continue
        of_class = labels == label
        parts = (in_a & in_b, in_a & ~in_b, in_b & ~in_a)
        found = tuple(int((of_class & part).sum()) for part in parts)
        ap_07 = Row(row_a.name, row_a.ap_07, row_b.ap_07)
        ap_area = Row(row_a.name, row_a.ap_area, row_b.ap_area)
        changes.append(ClassChange(row_a.name, ap_07, ap_area, row_a.objects, (found[0], found[1], found[2])))
    return changes


def _found(one: Evaluated) -> tuple[BoolArray, IntArray]:
    """Of each object, in an order that the images alone decide, whether it was found; and its class."""
    found, existing = make_tables(one.subject.detections, one.subject.targets)
    found = found.take(found.scores >= one.analysis.threshold)
    verdicts = judge(found, existing)
    was_found = np.zeros(len(existing.labels), dtype=bool)
    was_found[verdicts.gt[verdicts.true_positive]] = True
    return was_found, existing.labels


def _draw(images: Sequence[int], a: Evaluated, b: Evaluated) -> list[ImageChange]:
    changes = []
    for image in images:
        f1 = [float(one.analysis.images.f1[image]) for one in (a, b)]
        of_a, of_b = (draw_image(one.subject, one.analysis, image) for one in (a, b))
        changes.append(ImageChange(of_a, of_b, f"F1 {f1[0]:.3f} to {f1[1]:.3f}"))
    return changes
