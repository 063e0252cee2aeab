"""The curves of a training by epochs, with optimizer steps as a second axis: losses, mAP, learning rate."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from detection.drawing.page import Theme

_AP_NAMES = {
    "val/map_07": "AP at IoU 0.5, 11 points (VOC07)",
    "val/map_area": "AP at IoU 0.5, area (VOC10+)",
    "val/coco_map": "AP at IoU 0.5 to 0.95 (COCO)",
}
_MEANS = 30  # a mean is over this part of the run
_MANY = 40  # validations: of more, curves go without dots
Points = NDArray[np.float64]


class History(NamedTuple):
    """What a run logged."""

    series: dict[str, Points]
    """``(N, 2)`` optimizer steps done and values, by name."""
    ends: Points
    """``(E + 1,)`` optimizer steps done at the start and after each epoch."""

    @property
    def epochs(self) -> Points:
        """``(E + 1,)``: how many epochs were done at ``ends``."""
        return np.arange(len(self.ends), dtype=np.float64)

    def by_epoch(self, points: Points) -> Points:
        """Epochs done and values, of steps done and values."""
        return np.stack([np.interp(points[:, 0], self.ends, self.epochs), points[:, 1]], axis=1)


def history_of(rows: Sequence[Mapping[str, str]]) -> History:
    """Read the curves from the rows of ``metrics.csv``.

    Args:
        rows: by column: ``step``, ``epoch`` where known, and what was logged, empty where it was not.
    """
    names = sorted(rows[0]) if rows else []
    wanted = ("train/loss", "train/mean_loss", "val/loss", "val/map_", "val/coco_map", "lr")
    series = {name: _points(rows, name) for name in names if name.startswith(wanted)}
    last: dict[int, int] = {}
    for row in rows:
        # The test is logged under the epoch after the last.
        if (row.get("epoch") or "").isdecimal() and any(row.get(name) for name in series):
            epoch = int(row["epoch"])
            last[epoch] = max(last.get(epoch, 0), int(row["step"]) + 1)
    # Of an epoch without a row nothing is known but that it is between others.
    known = sorted(last)
    ends = np.array([0.0, max((int(row["step"]) + 1 for row in rows), default=1)])
    if known:  # where an epoch left no row, between its neighbours
        by_epoch = np.interp(np.arange(-1, known[-1] + 1), [-1, *known], [0, *(last[e] for e in known)])
        ends = by_epoch if (np.diff(by_epoch) > 0).all() else ends
    return History(series, ends)


def _points(rows: Sequence[Mapping[str, str]], name: str) -> Points:
    """The values of one name by optimizer steps done; what is no number is left out."""
    points = []
    for row in rows:
        with suppress(KeyError, ValueError):
            points.append((int(row["step"]) + 1, float(row[name])))
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def draw_training_curves(figure: Figure, theme: Theme, history: History) -> None:
    """Draw all panels side by side.

    Args:
        figure: an empty one of about 14 by 4 inches.
        theme: its colours.
        history: what was logged.
    """
    for ax, draw in zip(figure.subplots(1, len(PANELS)), PANELS.values(), strict=True):
        draw(ax, theme, history)


def _draw_losses(ax: Axes, theme: Theme, history: History) -> None:
    losses = {
        name.rpartition("/")[2]: points for name, points in history.series.items() if "train/loss" in name
    }
    # Those of the terminal; of a single epoch, means over its steps say more.
    of_epochs = {what: history.series.get(f"train/mean_{what}", np.zeros((0, 2))) for what in losses}
    drawn_by_epoch = bool(of_epochs) and min(map(len, of_epochs.values())) > 1
    count = max(max(map(len, losses.values()), default=0) // _MEANS, 1)
    validations = []
    for what, points in losses.items():
        number = min(count, len(points)) or 1
        means = running_mean(history.by_epoch(points), number) if len(points) else points
        means = history.by_epoch(of_epochs[what]) if drawn_by_epoch else means
        [line] = ax.plot(*means.T, "-" if len(means) > 1 else "_", label=what.replace("_", " "))
        if number > 1 or drawn_by_epoch:
            ax.plot(*history.by_epoch(points).T, color=line.get_color(), alpha=0.2, linewidth=0.8, zorder=1)
        validation = history.series.get(f"val/{what}", points[:0])
        style = "o" if len(validation) <= _MANY else "--"
        ax.plot(*history.by_epoch(validation).T, style, color=line.get_color(), markersize=4)
        validations.append(validation)
    dots = "dots" if max(map(len, validations), default=0) <= _MANY else "dashes"
    of_what = "mean of each epoch" if drawn_by_epoch else f"mean of {count}"
    parts = [of_what, "pale: logged steps"] if count > 1 or drawn_by_epoch else []
    parts += [f"{dots}: validation"] * any(map(len, validations))
    ax.set_title(f"losses ({'; '.join(parts)})" if parts else "training losses")
    values = np.concatenate([np.zeros(0), *(points[:, 1] for points in (*losses.values(), *validations))])
    values = values[np.isfinite(values) & (values > 0)]
    # The first steps' losses may be tens of times the last ones'.
    if len(values) and values.max() > 10 * values.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_ylim(bottom=0)
    _draw_axes(ax, theme, history)


def _draw_mean_ap(ax: Axes, theme: Theme, history: History) -> None:
    most = 0.0
    for name, meaning in _AP_NAMES.items():
        points = history.series.get(name, np.zeros((0, 2)))
        if len(points):
            style = "o-" if len(points) <= _MANY else "-"
            ax.plot(*history.by_epoch(points).T, style, markersize=4, label=meaning)
            most = max(most, np.nanmax(points[:, 1], initial=0))
    ax.set_title("mAP on the validation images")
    ax.set_ylim(0, min(max(1.3 * most, 0.05), 1.02))
    _draw_axes(ax, theme, history, legend="lower right")  # curves rise


def _draw_rate(ax: Axes, theme: Theme, history: History) -> None:
    for name, points in history.series.items():
        if name.startswith("lr"):
            style = "-" if len(points) > 1 else "o"
            ax.plot(*history.by_epoch(points).T, style, label=name.replace("lr-", "of "))
    ax.set_title("learning rate")
    ax.set_ylim(bottom=0)
    _draw_axes(ax, theme, history)


PANELS = {"losses": _draw_losses, "mean_ap": _draw_mean_ap, "learning_rate": _draw_rate}
"""What draws each panel on axes of its own."""


def _draw_axes(
    ax: Axes, theme: Theme, history: History, legend: Literal["best", "lower right"] = "best"
) -> None:
    """Epochs below, optimizer steps above, and plain numbers on both."""
    ends, epochs = history.ends, history.epochs
    per_epoch = (ends[-1] - ends[-2], ends[-1], epochs[-1])

    def steps(values: Any) -> Any:
        beyond = np.maximum(np.asarray(values, dtype=float) - per_epoch[2], 0) * per_epoch[0]
        return np.interp(values, epochs, ends) + beyond + np.minimum(values, 0) * per_epoch[0]

    def done(values: Any) -> Any:
        beyond = np.maximum(np.asarray(values, dtype=float) - per_epoch[1], 0) / per_epoch[0]
        return np.interp(values, ends, epochs) + beyond + np.minimum(values, 0) / per_epoch[0]

    ax.set_xlim(0, epochs[-1] * 1.02)
    ax.set_xlabel("epochs done")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    second = ax.secondary_xaxis("top", functions=(steps, done))
    second.set_xlabel("optimizer steps", fontsize="small")
    second.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    second.xaxis.set_major_formatter(FuncFormatter(plain))
    second.tick_params(labelsize="small", colors=theme.muted)
    ax.yaxis.set_major_formatter(FuncFormatter(plain))
    ax.grid(True, color=theme.grid)
    ax.set_axisbelow(True)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=legend, fontsize="small", labelcolor=theme.text)
    else:
        ax.text(0.5, 0.5, "nothing was logged", ha="center", transform=ax.transAxes, color=theme.muted)


def plain(value: float, _: int | None = None) -> str:
    """A number as people write it: 0.00002, not 2e-05, and no offset beside the axis."""
    return np.format_float_positional(float(f"{value:.6g}"), trim="-")


def running_mean(points: Points, count: int) -> Points:
    """The means of each ``count`` neighbours: ``(N, 2)`` to ``(N - count + 1, 2)``."""
    return np.stack([np.convolve(x, np.full(count, 1 / count), "valid") for x in points.T], axis=1)
