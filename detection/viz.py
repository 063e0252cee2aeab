"""Drawing: boxes on an image, ground truth beside predictions, training curves."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from detection.colours import Colour, class_colour, colour_of_letters
from detection.types import Detections, Target

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
    ax.imshow(pixels)
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
            text,
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
        left.set_title(f"{target['image_id']}: truth", fontsize=8)
        right.set_title(f"predicted, score >= {threshold:g}", fontsize=8)
    figure.savefig(path, dpi=110)


def plot_curves(metrics_csv: Path, path: Path) -> None:
    """Draw the losses, the mAP and the learning rate of a run over its optimizer steps.

    Args:
        metrics_csv: what the CSV logger wrote: columns by name, ``step`` among them, empty where not logged.
        path: PNG to write.
    """
    with metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = sorted(set(rows[0]) if rows else set())
    panels = {
        "loss": [c for c in columns if c.startswith(("train/loss", "val/loss"))],
        "mAP": [c for c in columns if c.startswith("val/map")],
        "learning rate": [c for c in columns if c.startswith("lr")],
    }
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    for ax, (title, names) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name in names:
            points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
            ax.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 50 else None)
        ax.set_title(title)
        ax.set_xlabel("optimizer step")
        ax.grid(alpha=0.3)
        if names:
            ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)
