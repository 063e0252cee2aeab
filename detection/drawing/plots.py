"""Drawing: boxes on an image, ground truth beside predictions, training curves."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from detection.drawing.painter import Colour, class_colour, colour_of_letters
from detection.system.console import drawn
from detection.system.files import read_history
from detection.types import Detections, Target

_AP_NAMES = {"map_07": "11 points (VOC07)", "map_area": "area (VOC10+)"}
_LABEL_ROOM = 0.06  # of the image's height: what a label above a box takes in most figures


def plot_bbox(
    image: ArrayLike,
    boxes: ArrayLike,
    scores: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    threshold: float = 0.5,
    ax: Axes | None = None,
) -> Axes:
    """Draw boxes on an image.

    Args:
        image: ``(H, W, 3)`` or ``(3, H, W)``, uint8. All four may be arrays, lists, or tensors on any device.
        boxes: ``(N, 4)`` xyxy pixels.
        scores: ``(N,)``; boxes below ``threshold`` are left out.
        labels: ``(N,)``; boxes with a negative label (padding) are left out.
        class_names: names by label; the number is written where None.
        threshold: lowest score to draw.
        ax: where to draw; None opens a figure, which a notebook shows (elsewhere: ``plt.show()``).

    Returns:
        The axis.

    Raises:
        ValueError: when boxes, scores and labels differ in length.
    """
    boxes = _array(boxes).astype(np.float64).reshape(-1, 4)
    given_scores = None if scores is None else _array(scores).reshape(-1)
    given_labels = np.zeros(len(boxes), int) if labels is None else _array(labels).reshape(-1).astype(int)
    for name, values in (("scores", given_scores), ("labels", given_labels)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes but {len(values)} {name}: give one for each box.")
    if ax is None:
        from matplotlib import pyplot as plt  # chooses a way to show figures, which training does not need

        ax = plt.figure(figsize=(8, 8), layout="constrained").add_subplot()
    pixels = _channels_last(_array(image))
    # Edges of pixels are whole numbers, as in boxes; by default their centres are.
    ax.imshow(pixels, extent=(0, pixels.shape[1], pixels.shape[0], 0))
    ax.set_axis_off()
    for i, (box, label) in enumerate(zip(boxes, given_labels, strict=True)):
        score = None if given_scores is None else float(given_scores[i])
        if label < 0 or (score is not None and score < threshold):
            continue
        name = "" if labels is None else class_names[label] if class_names else str(label)
        text = " ".join([name] * bool(name) + ([] if score is None else [f"{score:.2f}"]))
        # A label above a box at the top of the image would be cut off: it goes inside.
        room_above = box[1] > _LABEL_ROOM * pixels.shape[0]
        _draw_box(ax, box, text, class_colour(label), "bottom" if room_above else "top")
    return ax


def _array(values: ArrayLike | Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _channels_last(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    is_chw = image.shape[0] == 3 and image.shape[-1] != 3
    return image.transpose(1, 2, 0) if is_chw else image


def _draw_box(
    ax: Axes,
    box: NDArray[np.float64],
    text: str,
    colour: Colour,
    alignment: Literal["bottom", "top"],
) -> None:
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=2))
    if text:
        ax.text(
            x1,
            y1,
            drawn(text),
            fontsize=7,
            color=colour_of_letters(colour),
            verticalalignment=alignment,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
            clip_on=True,
        )


def plot_predictions(
    images: Sequence[NDArray[np.uint8]],
    detections: Sequence[Detections],
    targets: Sequence[Target],
    class_names: Sequence[str],
    path: Path,
    threshold: float = 0.5,
) -> None:
    """Write a PNG: each image with its true objects on the left and the predicted ones on the right.

    Args:
        images: ``(H, W, 3)`` uint8, at the original size that boxes refer to.
        detections: one per image.
        targets: one per image.
        class_names: names by label.
        path: file to write.
        threshold: lowest score to draw.
    """
    columns = 2
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(6 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (image, found, target) in enumerate(zip(images, detections, targets, strict=True)):
        left, right = axes[i // columns, 2 * (i % columns) : 2 * (i % columns) + 2]
        plot_bbox(image, target["boxes"], labels=target["labels"], class_names=class_names, ax=left)
        plot_bbox(image, found["boxes"], found["scores"], found["labels"], class_names, threshold, ax=right)
        # Where y is not given, matplotlib lays out the ticks, which nobody sees, to find the title's place.
        left.set_title(f"{drawn(target['image_id'])}: truth", fontsize=8, y=1)
        right.set_title(f"predicted, score >= {threshold:g}", fontsize=8, y=1)
    figure.savefig(path, dpi=110)


def plot_curves(metrics_csv: Path, path: Path) -> None:
    """Draw the losses, the mAP and the learning rate of a run over its optimizer steps.

    Each loss is drawn as logged, pale, and as its running mean over a thirtieth of the run; dots are the loss
    of the validation images.

    Args:
        metrics_csv: what the CSV logger wrote: columns by name, ``step`` among them, empty where not logged.
        path: PNG to write.
    """
    rows = read_history(metrics_csv)
    series = {
        name: np.array(_points(rows, name)).reshape(-1, 2)
        for name in (sorted(rows[0]) if rows else ())
        if name.startswith(("train/loss", "val/loss", "val/map_", "lr"))
    }
    figure = Figure(figsize=(13, 3.6))
    titles = ("loss (pale: steps, dots: validation)", "mAP", "learning rate")
    losses, mean_ap, rate = axes = figure.subplots(1, len(titles))
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.15, top=0.91, wspace=0.18)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
        ax.set_xlabel("optimizer step")
        ax.grid(alpha=0.3)
    for name, points in series.items():
        stage, _, what = name.rpartition("/")
        if stage == "train":
            count = max(len(points) // 30, 1)
            [line] = losses.plot(*_running_mean(points, count).T, label=what.replace("_", " "))
            losses.plot(*points.T, color=line.get_color(), alpha=0.2, linewidth=0.8, zorder=1)
            losses.plot(*series.get(f"val/{what}", points[:0]).T, ".", color=line.get_color())
            losses.set_yscale("log")  # the first steps' are tens of times the last ones', the parts' as well
            losses.yaxis.set_major_formatter("{x:g}")
        elif what.startswith("map"):
            mean_ap.plot(*points.T, marker=".", label=_AP_NAMES[what])
        elif not stage:
            rate.plot(*points.T, label=what)
    for ax in axes:
        if ax.lines:
            ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def plot_learning_rates(
    rates: ArrayLike, losses: ArrayLike, smoothed_over: int, chosen: float | None, path: Path
) -> None:
    """Draw the loss of each step over its learning rate, pale, and the mean over neighbours.

    Args:
        rates: ``(N,)``, rising by a constant factor.
        losses: ``(N,)``.
        smoothed_over: steps in a mean.
        chosen: the rate to mark; None: none.
        path: PNG to write.
    """
    points = np.stack([np.log10(rates), losses], axis=1)
    means = _running_mean(points, smoothed_over) if len(points) >= smoothed_over else points
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    ax.plot(10 ** points[:, 0], points[:, 1], alpha=0.3, label="a step")
    ax.plot(10 ** means[:, 0], means[:, 1], color="C0", label=f"mean of {smoothed_over} steps")
    if chosen is not None:
        ax.axvline(chosen, color="C1", label=f"{chosen:.2g}")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def _points(rows: Sequence[Mapping[str, str]], name: str) -> list[tuple[int, float]]:
    """The values of one figure by step; what is no number is left out."""
    points = []
    for row in rows:
        with suppress(KeyError, ValueError):
            points.append((int(row["step"]), float(row[name])))
    return points


def _running_mean(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The means of each ``count`` neighbours: ``(N, 2)`` to ``(N - count + 1, 2)``."""
    return np.stack([np.convolve(x, np.full(count, 1 / count), "valid") for x in points.T], axis=1)
