"""Pictures of single images: what was found, what was not, and what was not there."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from detection.console import drawn
from detection.metrics.operating_point import ImageCounts
from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import judge
from detection.types import Detections, Target

# After Okabe and Ito: apart for colour-blind readers, and bright on photographs.
HIT, FALSE_ALARM, MISSED, TRUE_BOX = "#56b4e9", "#ff6a13", "#f0e442", "#ffffff"
_WIDTH, _DPI = 3.2, 200  # inches, and pixels per inch


def worst_and_best(counts: ImageCounts, number: int) -> tuple[list[int], list[int]]:
    """Choose images to show: those with the lowest F1, and those with the highest.

    Among equals, more errors are worse and more hits are better.

    Args:
        counts: hits and errors of all images.
        number: at most so many of each.

    Returns:
        Image numbers, the worst first, and the best first. None is in both; the worst have errors and the
        best have hits.
    """
    errors = counts.false_alarms + counts.missed
    order = np.lexsort((-errors, counts.f1))
    worst = [int(image) for image in order if errors[image]][:number]
    order = np.lexsort((-counts.hits, -counts.f1))
    best = [int(image) for image in order if counts.hits[image] and image not in set(worst)][:number]
    return worst, best


def draw_outcome(
    image: NDArray[np.uint8],
    detections: Detections,
    target: Target,
    class_names: Sequence[str],
    threshold: float,
) -> bytes:
    """Draw one image with its true and its predicted boxes, as a JPEG.

    True boxes are thin white lines, or dashed yellow where they were missed; detections are blue where they
    hit and vermilion where they are false alarms, but white where their object is difficult.

    Args:
        image: ``(H, W, 3)`` RGB, in the pixels of the boxes.
        detections: its detections.
        target: its objects.
        class_names: by label.
        threshold: lowest score to draw.
    """
    found, existing = make_tables([detections], [target])
    found = found.take(found.scores >= threshold)
    verdicts = judge(found, existing)
    hit_objects = set(verdicts.gt[verdicts.hit].tolist())
    height, width = image.shape[:2]
    figure = Figure(figsize=(_WIDTH, _WIDTH * height / width))
    ax = figure.add_axes((0, 0, 1, 1))
    # Edges of pixels are whole numbers, as in boxes; by default their centres are.
    ax.imshow(image, extent=(0, width, height, 0))
    ax.set_axis_off()
    for row, (box, label) in enumerate(zip(existing.boxes, existing.labels, strict=True)):
        missed = row not in hit_objects and not existing.difficult[row]
        _draw(ax, box, class_names[label] if missed else "", MISSED if missed else TRUE_BOX, dashed=missed)
    for row, (box, label) in enumerate(zip(found.boxes, found.labels, strict=True)):
        colour = HIT if verdicts.hit[row] else TRUE_BOX if verdicts.ignored[row] else FALSE_ALARM
        _draw(ax, box, f"{class_names[label]} {found.scores[row]:.2f}", colour, width=1.6)
    ax.set(xlim=(0, width), ylim=(height, 0))
    jpeg = io.BytesIO()
    figure.savefig(jpeg, format="jpg", dpi=_DPI, pil_kwargs={"quality": 82})
    return jpeg.getvalue()


def _draw(
    ax: Axes, box: NDArray[np.floating], text: str, colour: str, width: float = 1.0, dashed: bool = False
) -> None:
    x1, y1, x2, y2 = (float(corner) for corner in box)
    # A dark rim keeps every colour visible on every ground.
    rim = [withStroke(linewidth=width + 1.2, foreground="#00000090")]
    style = "--" if dashed else "-"
    ax.add_patch(
        Rectangle(
            (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width, linestyle=style,
            path_effects=rim,
        )
    )  # fmt: skip
    if text:
        top = ax.get_ylim()[1]
        above = y1 - top > 0.06 * abs(ax.get_ylim()[0] - top)
        label = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}
        ax.text(
            x1, y1, drawn(text), fontsize=7, color="#000000", verticalalignment="bottom" if above else "top",
            bbox=label, clip_on=True,
        )  # fmt: skip
