"""Curves of precision over recall as the page draws them: one small panel per class, for any width."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.metrics.analysis import Analysis
from detection.metrics.tables import FloatArray
from detection.report.curves import class_curve, shown_classes

_POINTS = 120  # of a line; more cannot be told apart
_WIDTH, _HEIGHT = 100, 70  # of a panel, in units of its own


class Panel(NamedTuple):
    """The curve of one class, as paths in a box of 100 by 70."""

    name: str
    ap: float
    """Area under the curve."""
    line: str
    area: str
    dot: tuple[float, float]
    """Where F1 is best."""


def make_panels(analysis: Analysis, names: Sequence[str]) -> list[Panel]:
    """The curves of the classes to show that have something to find.

    Args:
        analysis: the evaluation.
        names: of all classes, by label.
    """
    panels = []
    for label in shown_classes(analysis).tolist():
        ap = float(analysis.voc.ap_area[label])
        if np.isnan(ap):
            continue
        curve = class_curve(analysis, label)
        kept = np.unique(np.linspace(0, len(curve) - 1, _POINTS).round().astype(int))
        line = _path(curve[kept])
        point = analysis.points[label]
        dot = np.nan_to_num([_WIDTH * point.recall, _HEIGHT * (1 - point.precision)])
        end = round(_WIDTH * float(curve[-1, 0]), 1)
        x, y = dot.round(1).tolist()
        panels.append(Panel(names[label], ap, line, f"{line} V{_HEIGHT} H0 Z" if end else "", (x, y)))
    return panels


def _path(curve: FloatArray) -> str:
    points = np.round(curve * (_WIDTH, -_HEIGHT) + (0, _HEIGHT), 1)
    return "M" + " L".join(f"{x:g} {y:g}" for x, y in points.tolist())
