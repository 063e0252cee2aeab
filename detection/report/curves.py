"""Precision over recall, and the confusion matrix as a person can read it.

All panels are drawn on one pair of axes, in inches: axes of their own would take a quarter of a second each,
and much more where hundreds of them share their scales.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from detection.drawing.page import Theme, shortened
from detection.metrics.analysis import Analysis
from detection.metrics.tables import FloatArray, IntArray
from detection.system.wording import counted

MAX_CURVES = 81
"""Of more classes, so many of those with the most objects are drawn."""
_COLUMNS, _WIDTH = 3, 5.2
_LEFT, _TOP, _BOTTOM, _GAP = 0.62, 0.06, 0.52, 0.16
_PANEL = ((_WIDTH - _LEFT - 0.08 - (_COLUMNS - 1) * _GAP) / _COLUMNS, 1.05)  # width and height
_ROW = _PANEL[1] + 0.4  # with the title above
_TICKS = (0.0, 0.5, 1.0)


def shown_classes(analysis: Analysis) -> IntArray:
    """The labels of the classes to draw, ascending.

    Args:
        analysis: what to show.
    """
    num_gt = analysis.voc.num_gt
    if len(num_gt) <= MAX_CURVES:
        return np.arange(len(num_gt))
    most = np.argsort(-num_gt, kind="stable")[:MAX_CURVES]
    return np.sort(most[num_gt[most] > 0])


def curves_note(analysis: Analysis) -> str:
    """What to say where not all classes are drawn.

    Args:
        analysis: what is shown.
    """
    shown, number = len(shown_classes(analysis)), len(analysis.voc.num_gt)
    return "" if shown == number else f" Of {number} classes {shown} are shown: those with the most objects."


def size_of_curves(number: int) -> tuple[float, float]:
    """Width and height in inches of the picture of so many classes."""
    return _WIDTH, _TOP + _ROW * max(math.ceil(number / _COLUMNS), 1) + _BOTTOM


def draw_curves(figure: Figure, theme: Theme, analysis: Analysis, names: Sequence[str]) -> None:
    """Draw the curves, each filled, with a dot where F1 is best.

    Args:
        figure: an empty one, of the size that ``size_of_curves`` says.
        theme: its colours.
        analysis: what to show.
        names: of all classes, by label.
    """
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    lines: list[FloatArray] = []
    areas: list[FloatArray] = []
    dots: list[FloatArray] = []
    shown = shown_classes(analysis)
    corners = [_corner(place, height) for place in range(len(shown))]
    for corner, label in zip(corners, shown, strict=True):
        ap = analysis.voc.ap_area[label]
        name = shortened(names[label])
        _write_title(ax, corner, f"{name}  {ap:.2f}" if np.isfinite(ap) else name)
        if not np.isfinite(ap):
            x, y = (corner + np.array(_PANEL) / 2).tolist()
            ax.text(x, y, "no objects", ha="center", va="center", color=theme.muted, fontsize=8)
            continue
        curve, point = class_curve(analysis, label), analysis.points[label]
        lines.append(corner + curve * _PANEL)
        areas.append(corner + np.concatenate(([[0, 0]], curve, [[curve[-1, 0], 0]])) * _PANEL)
        dots.append(corner + np.array((point.recall, point.precision)) * _PANEL)
    _draw_frames(ax, corners, theme)
    ax.add_collection(PolyCollection(areas, facecolors=theme.main, alpha=0.18, linewidths=0))
    ax.add_collection(LineCollection(lines, colors=theme.main, linewidths=1.4))
    if dots:
        ax.plot(*np.array(dots).T, "o", color=theme.accent, markersize=4)
    columns = min(len(shown), _COLUMNS)
    middle_of_columns = _LEFT + (columns * (_PANEL[0] + _GAP) - _GAP) / 2
    ax.text(middle_of_columns, 0.08, "recall (dot: best F1)", ha="center", color=theme.muted)
    ax.text(0.08, height / 2, "precision", va="center", rotation=90, color=theme.muted)


def _corner(place: int, height: float) -> FloatArray:
    """Lower left corner of a panel."""
    row, column = divmod(place, _COLUMNS)
    return np.array((_LEFT + column * (_PANEL[0] + _GAP), height - _TOP - (row + 1) * _ROW))


def class_curve(analysis: Analysis, label: int) -> FloatArray:
    """The curve of a class: ``(N, 2)`` recall and precision, from recall 0 on.

    Args:
        analysis: the evaluation.
        label: of the class.
    """
    recall, precision = analysis.voc.curves[label].recall, analysis.voc.curves[label].precision
    # The first detection already has a recall; up to there its precision is the best there is.
    first = precision[0] if len(precision) else 0.0
    return np.stack((np.concatenate(([0.0], recall)), np.concatenate(([first], precision))), axis=1)


def _draw_frames(ax: Axes, corners: Sequence[FloatArray], theme: Theme) -> None:
    """Axes to the left and below, a grid at the ticks, and their numbers at the outer panels."""
    width, height = _PANEL
    frames, grid = [], []
    for place, (x, y) in enumerate(corners):
        frames.append([(x, y + height), (x, y), (x + width, y)])
        grid += [[(x, y + t * height), (x + width, y + t * height)] for t in _TICKS[1:]]
        grid += [[(x + t * width, y), (x + t * width, y + height)] for t in _TICKS[1:]]
        if place % _COLUMNS == 0:
            for t in _TICKS:
                ax.text(
                    x - 0.06, y + t * height, f"{t:g}", ha="right", va="center", color=theme.muted, size=8
                )
        if place + _COLUMNS >= len(corners):
            for t in _TICKS:
                ax.text(x + t * width, y - 0.06, f"{t:g}", ha="center", va="top", color=theme.muted, size=8)
    ax.add_collection(LineCollection(grid, colors=theme.grid, linewidths=0.8, zorder=0))
    ax.add_collection(LineCollection(frames, colors=theme.muted, linewidths=0.8, zorder=1))


def _write_title(ax: Axes, corner: FloatArray, text: str) -> None:
    ax.text(corner[0], corner[1] + _PANEL[1] + 0.07, text, parse_math=False)


MAX_CLASSES = 80
"""Of more classes, so many are shown with a row and a column of their own."""


class Confused(NamedTuple):
    """A confusion matrix with its names; the last row and column are background and missed."""

    counts: IntArray
    rows: list[str]
    columns: list[str]
    places: IntArray
    """``(C + 1,)``: the row and the column of each class, background the last."""

    def shares(self) -> FloatArray:
        """Each count as a share of its row; in the row of background, of its largest count."""
        totals = self.counts.sum(axis=1, keepdims=True)
        totals[-1] = self.counts[-1].max()  # background has no true number of objects
        shares: FloatArray = self.counts / np.maximum(totals, 1)
        return shares


def most_confused(counts: IntArray, names: Sequence[str]) -> Confused:
    """Gather all but the most confused classes in one row and one column.

    Args:
        counts: ``(C + 1, C + 1)``, see ``Pairs.matrix``.
        names: by label.

    Returns:
        The matrix, whole for up to ``MAX_CLASSES`` classes. Its sum is that of ``counts``.
    """
    kept = _kept(counts)
    others = len(names) - len(kept)
    if not others:
        return Confused(counts, [*names, "background"], [*names, "missed"], np.arange(len(counts)))
    place = np.full(len(counts), len(kept))
    place[kept] = np.arange(len(kept))
    place[-1] = len(kept) + 1
    gathered = np.zeros((len(kept) + 2,) * 2, dtype=counts.dtype)
    np.add.at(gathered, (place[:, None], place[None, :]), counts)
    shown = [*(names[label] for label in kept), counted(others, "other")]
    return Confused(gathered, [*shown, "background"], [*shown, "missed"], place)


def confusion_note(counts: IntArray) -> str:
    """What to say where not all classes have a row and a column.

    Args:
        counts: see ``most_confused``.
    """
    number, shown = len(counts) - 1, len(_kept(counts))
    if shown == number:
        return ""
    return (
        f" Of {number} classes {shown} are shown, those confused most; the others share a row and a column."
    )


def _kept(counts: IntArray) -> IntArray:
    """The labels of the classes to show, ascending."""
    if len(counts) - 1 <= MAX_CLASSES:
        return np.arange(len(counts) - 1)
    of_classes = counts[:-1, :-1]
    mistaken = of_classes.sum(axis=0) + of_classes.sum(axis=1) - 2 * of_classes.diagonal()
    counted = counts[:-1].sum(axis=1) + counts[:, :-1].sum(axis=0)
    # Among those that are confused equally often the ones that occur more often come first.
    most = np.lexsort((-counted, -mistaken))[:MAX_CLASSES]
    return np.sort(most[counted[most] > 0])
