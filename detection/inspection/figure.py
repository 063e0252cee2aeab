"""The figures of a dataset: its classes, the shapes of its boxes, and how well anchors fit them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from detection.drawing.page import LIGHT, Picture, Theme, render, shortened
from detection.inspection.coverage import Coverage
from detection.inspection.statistics import Statistics, range_label
from detection.system.console import drawn
from detection.system.wording import counted

MAX_CLASSES = 25


_Plot = Callable[[Axes, Theme], None]


def make_pictures(statistics: Statistics, coverage: Coverage, model: str) -> list[Picture]:
    """Plan the figures of the boxes and the anchors; none where no object can be used.

    Args:
        statistics: counts and shapes.
        coverage: overlaps with the anchors of the network.
        model: the network's name.
    """

    def alone(figure: Figure, theme: Theme, plot: _Plot) -> None:
        plot(figure.add_subplot(), theme)

    rows = max(min(len(coverage.by_class()), MAX_CLASSES), 9)
    height = {"missed_by_class": 1.0 + 0.18 * rows}
    return [
        Picture(name, (4.6, height.get(name, 3.0)), partial(alone, plot=plot), alt)
        for name, (plot, alt) in _plots_of_boxes(statistics, coverage, model).items()
    ]


def plot_dataset(path: Path, statistics: Statistics, coverage: Coverage, model: str) -> None:
    """Writes all figures as one PNG.

    Args:
        path: file to write.
        statistics: counts and shapes.
        coverage: overlaps with the anchors of the network.
        model: the network's name.
    """

    def draw(figure: Figure, theme: Theme) -> None:
        first, *others = figure.subplots(2, 3).flat
        _plot_classes(first, theme, statistics)
        plots = _plots_of_boxes(statistics, coverage, model)
        for ax, (plot, _) in zip(others, plots.values(), strict=False):
            plot(ax, theme)
        for ax in others[len(plots) :]:
            ax.set_axis_off()
        if not plots:
            others[0].text(0.5, 0.5, "no object can be used", ha="center")

    path.write_bytes(render(draw, (16, 9), LIGHT))


def _plots_of_boxes(statistics: Statistics, coverage: Coverage, model: str) -> dict[str, tuple[_Plot, str]]:
    """What draws each figure, and what it shows."""
    if not len(coverage.labels):
        return {}
    missed = "Share of objects that no anchor overlaps enough"
    return {
        "sides": (
            partial(_plot_sides, statistics=statistics, coverage=coverage),
            "Sides of boxes, in the files and in the network's input.",
        ),
        "best_iou": (
            partial(_plot_best_iou, coverage=coverage, model=model),
            f"Best IoU of each object with an anchor of {model}.",
        ),
        "missed_by_side": (partial(_plot_missed_by_side, coverage=coverage), f"{missed}, by side."),
        "aspects": (partial(_plot_aspects, statistics=statistics), "Shapes of boxes, from tall to wide."),
        "missed_by_class": (partial(_plot_missed_by_class, coverage=coverage), f"{missed}, by class."),
    }


def _plot_classes(ax: Axes, theme: Theme, statistics: Statistics) -> None:
    splits = list(statistics.objects)
    totals = {
        name: sum(statistics.objects[split][name] for split in splits)
        for name in statistics.objects[splits[0]]
    }
    names = sorted(totals, key=lambda name: totals[name])[-MAX_CLASSES:]
    start, rows = np.zeros(len(names)), range(len(names))
    ax.set_yticks(rows, [drawn(name) for name in names])
    for split in splits:
        counts = np.array([statistics.objects[split][name] for name in names], dtype=float)
        images = statistics.images[split]
        ax.barh(
            [drawn(name) for name in names],
            counts,
            left=start,
            label=f"{split}: {counted(int(counts.sum()), 'object')} in {counted(images, 'image')}",
        )
        start += counts
    more = len(totals) - len(names)
    ax.tick_params(axis="y", labelcolor=theme.text)
    ax.set_title("objects per class" + (f" (the {MAX_CLASSES} largest of {len(totals)})" if more else ""))
    ax.tick_params(axis="y", labelsize=8)
    # Below: where classes are about equally frequent, every place inside has bars.
    ax.legend(fontsize=8, labelcolor=theme.text, loc="upper center", bbox_to_anchor=(0.5, -0.06))


def _plot_sides(ax: Axes, theme: Theme, statistics: Statistics, coverage: Coverage) -> None:
    both = np.concatenate([statistics.sides, coverage.sides])
    low, high = max(both.min(), 0.5), max(both.max(), 1.0)
    bins = np.geomspace(low * 0.99, high * 1.01, 41)
    both_sizes = (statistics.sides, "in the file"), (coverage.sides, "in the network's input")
    for (sides, label), colour in zip(both_sizes, (theme.muted, theme.main), strict=True):
        ax.hist(sides, bins=bins.tolist(), histtype="step", linewidth=1.8, label=label, color=colour)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_title("side of boxes (square root of the area)")
    ax.set_xlabel("pixels")
    ax.set_ylabel("objects")
    ax.margins(y=0.28)  # room for the legend
    ax.legend(fontsize=8, labelcolor=theme.text, loc="upper left")


def _plot_aspects(ax: Axes, theme: Theme, statistics: Statistics) -> None:
    bins = np.geomspace(1 / 16, 16, 49)
    ax.hist(statistics.aspects.clip(bins[0], bins[-1]), bins=bins.tolist(), color=theme.main)
    ax.set_xscale("log", base=2)
    ax.set_xticks([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16])
    ax.set_xticklabels(["1:16", "1:8", "1:4", "1:2", "1:1", "2:1", "4:1", "8:1", "16:1"], fontsize=8)
    ax.set_title("shape of boxes in the file")
    ax.set_xlabel("width : height")
    ax.set_ylabel("objects")


def _plot_best_iou(ax: Axes, theme: Theme, coverage: Coverage, model: str) -> None:
    ax.hist(coverage.best_iou, bins=np.linspace(0, 1, 41).tolist(), color=theme.main)
    total, below = coverage.total()
    for bound, count, style in zip(coverage.thresholds, below, ("-", "--"), strict=False):
        label = f"below {bound:g}: {count} of {total} ({count / total:.1%})"
        ax.axvline(bound, ymax=0.8, color=theme.accent, linestyle=style, label=label)
    ax.margins(y=0.28)  # room for the legend
    ax.set_title(f"best IoU with an anchor of {model}")
    ax.set_xlabel("IoU")
    ax.set_ylabel("objects")
    ax.legend(fontsize=8, labelcolor=theme.text, loc="upper left")


def _plot_missed_by_side(ax: Axes, theme: Theme, coverage: Coverage) -> None:
    rows = coverage.by_side()
    names = [range_label(low, high) for low, high, _, _ in rows]
    bars = ax.bar(names, [below[0] / count for _, _, count, below in rows], color=theme.accent)
    ax.bar_label(bars, [f"{below[0]}/{count}" for _, _, count, below in rows], fontsize=7)
    ax.set_ylim(0, 1.08)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_title(f"best IoU below {coverage.thresholds[0]:g}, by side in the input")
    ax.set_xlabel("pixels")
    ax.tick_params(axis="x", labelsize=7)


def _plot_missed_by_class(ax: Axes, theme: Theme, coverage: Coverage) -> None:
    rows = sorted(coverage.by_class(), key=lambda row: row[2][0] / row[1])[-MAX_CLASSES:]
    ax.set_yticks(range(len(rows)), [shortened(drawn(row[0])) for row in rows], parse_math=False)
    bars = ax.barh(range(len(rows)), [row[2][0] / row[1] for row in rows], color=theme.accent)
    ax.bar_label(bars, [f" {row[2][0]}/{row[1]}" for row in rows], fontsize=8)
    ax.set_xlim(0, 1.15)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_title(f"best IoU below {coverage.thresholds[0]:g}, by class")
    ax.tick_params(axis="y", labelsize=8)
