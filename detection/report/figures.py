"""The figures of a report, from the figures of an evaluation."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from detection.drawing.page import Picture, Theme, shortened
from detection.metrics.analysis import SIZE_EDGES, Analysis
from detection.metrics.errors import ERROR_KINDS
from detection.report.curves import (
    Confused,
    curves_note,
    draw_curves,
    most_confused,
    shown_classes,
    size_of_curves,
)
from detection.system.console import drawn

# With more classes than this, counts in the cells of the confusion matrix would be too small to read.
_MAX_ANNOTATED = 30


def make_figures(analysis: Analysis, class_names: Sequence[str]) -> dict[str, Picture]:
    """Plan all figures of a report.

    Args:
        analysis: what to show.
        class_names: by label.

    Returns:
        The figures by name.
    """
    names = [drawn(name) for name in class_names]
    confused = most_confused(analysis.confusion, names)
    side = min(max(4.6, 0.29 * len(confused.rows) + 1.5), 20.0)
    pictures = [
        Picture(
            "precision_recall",
            size_of_curves(len(shown_classes(analysis))),
            partial(draw_curves, analysis=analysis, names=names),
            f"Precision over recall, one small curve per class.{curves_note(analysis)}",
        ),
        Picture(
            "errors",
            (5.0, 2.9),
            partial(_errors, analysis=analysis),
            "mAP lost to each kind of error: "
            + ", ".join(f"{kind} {cost:.3f}" for kind, cost in analysis.error_costs.items()),
        ),
        Picture(
            "confusion",
            (side, side),
            partial(_confusion, confused=confused),
            "Confusion matrix: true classes in rows, detected classes in columns.",
        ),
        Picture(
            "calibration",
            (5.0, 4.2),
            partial(_calibration, analysis=analysis),
            f"Share of true positives by score; expected calibration error {analysis.calibration.ece:.3f}.",
        ),
        Picture(
            "recall_by_size",
            (5.0, 3.2),
            partial(_recall_by_size, analysis=analysis),
            "Recall of objects by their size in pixels.",
        ),
    ]
    return {picture.name: picture for picture in pictures}


def _errors(figure: Figure, theme: Theme, analysis: Analysis) -> None:
    ax = figure.add_subplot()
    costs = [analysis.error_costs[kind] for kind in ERROR_KINDS]
    bars = ax.barh(ERROR_KINDS, costs, color=theme.main, height=0.62)
    labels = [f"{cost:.3f}" for cost in costs]
    ax.bar_label(bars, labels, padding=4, color=theme.text)
    ax.invert_yaxis()
    ax.margins(x=0.14)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("mAP (area) gained if all errors of this kind were put right")
    ax.tick_params(axis="y", length=0, labelcolor=theme.text)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)


def _confusion(figure: Figure, theme: Theme, confused: Confused) -> None:
    counts, shares = confused.counts, confused.shares()
    ax = figure.add_subplot()
    ax.imshow(
        shares, cmap=LinearSegmentedColormap.from_list("", [theme.background, theme.main]), vmin=0, vmax=1
    )
    ticks = range(len(counts))
    ax.set_xticks(ticks, [shortened(name) for name in confused.columns], rotation=90, parse_math=False)
    ax.set_yticks(ticks, [shortened(name) for name in confused.rows], parse_math=False)
    ax.tick_params(length=0, labelcolor=theme.text, labelsize=8)
    ax.set_xlabel("detected as")
    ax.set_ylabel("true class")
    ax.axhline(len(counts) - 1.5, color=theme.muted, linewidth=0.8)
    ax.axvline(len(counts) - 1.5, color=theme.muted, linewidth=0.8)
    if len(counts) - 1 > _MAX_ANNOTATED:
        return
    for row, column in np.argwhere(counts > 0):
        colour = theme.background if shares[row, column] > 0.55 else theme.text
        size = 7 if counts[row, column] < 1000 else 5.5
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=size)


def _calibration(figure: Figure, theme: Theme, analysis: Analysis) -> None:
    result = analysis.calibration
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    centres, width = (result.edges[:-1] + result.edges[1:]) / 2, result.edges[1] * 0.92
    upper.bar(
        centres, np.nan_to_num(result.precision), width, color=theme.main, label="share of true positives"
    )
    upper.plot([0, 1], [0, 1], "--", color=theme.muted, linewidth=1, label="as the score says")
    upper.plot(
        result.mean_scores, result.precision, "o", color=theme.accent, markersize=4, label="mean score"
    )
    upper.set(ylim=(0, 1.02), xlim=(0, 1), ylabel="share of true positives", title=f"ECE {result.ece:.3f}")
    upper.legend(loc="upper left", labelcolor=theme.text)
    lower.bar(centres, result.counts, width, color=theme.muted)
    lower.set_yscale("symlog", linthresh=1)
    # Nothing, and the last power of ten below the top: all powers would collide.
    top = 10 ** int(np.log10(max(result.counts.max(), 1)))
    lower.set_yticks([0, top], ["0", f"{top:,}"])
    lower.minorticks_off()
    lower.set(xlabel="score", ylabel="detections")
    for ax in (upper, lower):
        ax.grid(True, axis="y")
        ax.set_axisbelow(True)


def _recall_by_size(figure: Figure, theme: Theme, analysis: Analysis) -> None:
    sizes, edges = analysis.sizes, SIZE_EDGES.astype(int)
    names = [
        f"< {edges[0]}",
        *(f"{a}-{b}" for a, b in pairwise(edges)),
        f">= {edges[-1]}",
    ]
    names = [f"{name}\n({count})" for name, count in zip(names, sizes.num_gt, strict=True)]
    total = np.maximum(sizes.num_gt, 1)
    ax = figure.add_subplot()
    positions = np.arange(len(names))
    any_score = "at any score"
    ax.bar(
        positions - 0.2, sizes.found / total, 0.38, color=theme.grid, edgecolor=theme.muted, label=any_score
    )
    above = f"at score {analysis.threshold:.2f} or more"
    ax.bar(positions + 0.2, sizes.found_above / total, 0.38, color=theme.main, label=above)
    ax.set_xticks(positions, names, fontsize=8)
    ax.set(ylim=(0, 1.02), ylabel="recall", xlabel="square root of the box's area, in pixels (objects)")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, labelcolor=theme.text)
    ax.grid(True, axis="y")
    ax.set_axisbelow(True)
