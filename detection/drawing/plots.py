"""Plots for notebooks and for a run's folder: boxes on an image, training curves, learning rates."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from detection.drawing.colours import class_colour
from detection.drawing.page import LIGHT, render
from detection.drawing.painter import Mark, draw_marks
from detection.drawing.training_curves import draw_training_curves, history_of, running_mean
from detection.system.files import read_history

_LETTERS = 9  # points
CURVES_SIZE = (14.0, 4.0)  # inches


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
    marks = []
    for i, (box, label) in enumerate(zip(boxes, given_labels, strict=True)):
        score = None if given_scores is None else float(given_scores[i])
        if label < 0 or (score is not None and score < threshold):
            continue
        name = "" if labels is None else class_names[label] if class_names else str(label)
        text = " ".join([name] * bool(name) + ([] if score is None else [f"{score:.2f}"]))
        marks.append(Mark(box.tolist(), text, class_colour(label)))
    # Edges of pixels are whole numbers, as in boxes; by default their centres are.
    ax.imshow(_painted(pixels, marks[::-1], ax), extent=(0, pixels.shape[1], pixels.shape[0], 0))
    ax.set_axis_off()
    return ax


def _painted(pixels: NDArray[np.uint8], marks: Sequence[Mark], ax: Axes) -> NDArray[np.uint8]:
    """The image with its boxes, large enough that lines and letters are sharp where it is shown."""
    if not marks:
        return pixels
    place = ax.get_window_extent()
    shown = min(
        place.width / pixels.shape[1], place.height / pixels.shape[0]
    )  # pixels on the screen by pixel
    scale = max(1, math.ceil(2 * shown))  # twice, for dense screens
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    large = np.asarray(
        cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_NEAREST), np.uint8
    )
    moved = [mark._replace(box=[scale * edge for edge in mark.box]) for mark in marks]
    points = scale / shown * ax.figure.dpi / 72
    return draw_marks(large, moved, letters=_LETTERS * points)


def _array(values: ArrayLike | Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _channels_last(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    is_chw = image.shape[0] == 3 and image.shape[-1] != 3
    return image.transpose(1, 2, 0) if is_chw else image


def plot_curves(metrics_csv: Path, path: Path) -> None:
    """Draw the losses, the mAP and the learning rate of a run by epochs and by optimizer steps.

    Each loss is drawn as logged, pale, and as its running mean over a thirtieth of the run; dots are the loss
    of the validation images.

    Args:
        metrics_csv: what the CSV logger wrote: columns by name, ``step`` among them, empty where not logged.
        path: PNG to write.
    """
    history = history_of(read_history(metrics_csv))
    path.write_bytes(render(partial(draw_training_curves, history=history), CURVES_SIZE, LIGHT))


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
    means = running_mean(points, smoothed_over) if len(points) >= smoothed_over else points
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
