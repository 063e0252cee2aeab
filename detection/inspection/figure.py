"""One picture of a dataset: its classes, the shapes of its boxes, and how well anchors fit them."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from detection.console import drawn
from detection.inspection.coverage import Coverage
from detection.inspection.statistics import Statistics, range_label

MAX_CLASSES = 25
_REACHED, _MISSED = "tab:blue", "tab:red"


def plot_dataset(path: Path, statistics: Statistics, coverage: Coverage, model: str) -> None:
    """Writes a PNG.

    Args:
        path: file to write.
        statistics: counts and shapes.
        coverage: overlaps with the anchors of the network.
        model: the network's name.
    """
    figure = Figure(figsize=(16, 9), layout="constrained")
    axes = figure.subplots(2, 3)
    _plot_classes(axes[0, 0], statistics)
    if len(coverage.labels):
        _plot_sides(axes[0, 1], statistics, coverage)
        _plot_aspects(axes[0, 2], statistics)
        _plot_best_iou(axes[1, 0], coverage, model)
        _plot_missed_by_side(axes[1, 1], coverage)
        _plot_missed_by_class(axes[1, 2], coverage)
    else:
        for ax in axes.flat[1:]:
            ax.set_axis_off()
        axes[0, 1].text(0.5, 0.5, "no object can be used", ha="center")
    figure.savefig(path, dpi=100)


def _plot_classes(ax: Axes, statistics: Statistics) -> None:
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
            label=f"{split}: {counts.sum():.0f} objects in {images} images",
        )
        start += counts
    more = len(totals) - len(names)
    ax.set_title("objects per class" + (f" (the {MAX_CLASSES} largest of {len(totals)})" if more else ""))
    ax.tick_params(axis="y", labelsize=8)
    ax.legend(fontsize=8, loc="lower right")


def _plot_sides(ax: Axes, statistics: Statistics, coverage: Coverage) -> None:
    both = np.concatenate([statistics.sides, coverage.sides])
    low, high = max(both.min(), 0.5), max(both.max(), 1.0)
    bins = np.geomspace(low * 0.99, high * 1.01, 41)
    for sides, label in ((statistics.sides, "in the file"), (coverage.sides, "in the network's input")):
        ax.hist(sides, bins=bins.tolist(), histtype="step", linewidth=1.8, label=label)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_title("side of boxes (square root of the area)")
    ax.set_xlabel("pixels")
    ax.set_ylabel("objects")
    ax.legend(fontsize=8)


def _plot_aspects(ax: Axes, statistics: Statistics) -> None:
    bins = np.geomspace(1 / 16, 16, 49)
    ax.hist(statistics.aspects.clip(bins[0], bins[-1]), bins=bins.tolist(), color="tab:green")
    ax.set_xscale("log", base=2)
    ax.set_xticks([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16])
    ax.set_xticklabels(["1:16", "1:8", "1:4", "1:2", "1:1", "2:1", "4:1", "8:1", "16:1"], fontsize=8)
    ax.set_title("shape of boxes in the file")
    ax.set_xlabel("width : height")
    ax.set_ylabel("objects")


def _plot_best_iou(ax: Axes, coverage: Coverage, model: str) -> None:
    ax.hist(coverage.best_iou, bins=np.linspace(0, 1, 41).tolist(), color=_REACHED)
    total, below = coverage.total()
    for bound, count, style in zip(coverage.thresholds, below, ("-", "--"), strict=False):
        label = f"below {bound:g}: {count} of {total} ({count / total:.1%})"
        ax.axvline(bound, color=_MISSED, linestyle=style, label=label)
    ax.set_title(f"best IoU with an anchor of {model}")
    ax.set_xlabel("IoU")
    ax.set_ylabel("objects")
    ax.legend(fontsize=8, loc="upper left")


def _plot_missed_by_side(ax: Axes, coverage: Coverage) -> None:
    rows = coverage.by_side()
    names = [range_label(low, high) for low, high, _, _ in rows]
    bars = ax.bar(names, [below[0] / count for _, _, count, below in rows], color=_MISSED)
    ax.bar_label(bars, [f"{below[0]}/{count}" for _, _, count, below in rows], fontsize=7)
    ax.set_ylim(0, 1.08)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_title(f"best IoU below {coverage.thresholds[0]:g}, by side in the input")
    ax.set_xlabel("pixels")
    ax.tick_params(axis="x", labelsize=7)


def _plot_missed_by_class(ax: Axes, coverage: Coverage) -> None:
    rows = sorted(coverage.by_class(), key=lambda row: row[2][0] / row[1])[-MAX_CLASSES:]
    ax.set_yticks(range(len(rows)), [drawn(row[0]) for row in rows])
    bars = ax.barh(range(len(rows)), [row[2][0] / row[1] for row in rows], color=_MISSED)
    ax.bar_label(bars, [f" {row[2][0]}/{row[1]}" for row in rows], fontsize=8)
    ax.set_xlim(0, 1.15)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_title(f"best IoU below {coverage.thresholds[0]:g}, by class")
    ax.tick_params(axis="y", labelsize=8)
