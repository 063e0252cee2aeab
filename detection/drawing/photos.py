"""Photos with boxes drawn on them, small enough for a page."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import NDArray

from detection.system.console import drawn

# After Okabe and Ito: apart for colour-blind readers, and bright on photographs.
BLUE, VERMILION, YELLOW, WHITE = "#56b4e9", "#ff6a13", "#f0e442", "#ffffff"
_INCHES = 3.2
_FLATTEST, _TALLEST = 0.4, 1.35  # height by width of a photo; what is beyond gets bars at its sides
_GREY = 128  # of the bars

View = tuple[float, float, float, float]
"""``x1, y1, x2, y2`` in pixels of the image: what of it, and around it, is shown."""


class Mark(NamedTuple):
    """A box to draw."""

    box: Sequence[float]
    """``xyxy`` in pixels; its sides may be in any order, and it may reach past the image."""
    text: str
    colour: str
    width: float = 1.0
    """Of its line, in points."""
    dashed: bool = False


def draw_photo(image: NDArray[np.uint8], marks: Sequence[Mark], dpi: int, view: View | None = None) -> bytes:
    """Draw boxes on an image, the last on top, as a JPEG.

    Args:
        image: ``(H, W, 3)`` RGB, in the pixels of the boxes.
        marks: the boxes.
        dpi: a 3.2th of the JPEG's width in pixels.
        view: what to show; None shows the image.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = view or (0, 0, width, height)
    columns = round(_INCHES * dpi)
    rows = round(columns * min(max((bottom - top) / (right - left), _FLATTEST), _TALLEST))
    scale = min(columns / (right - left), rows / (bottom - top))
    x, y = (columns - scale * (left + right)) / 2, (rows - scale * (top + bottom)) / 2
    # Axes, which would place everything by themselves, take most of the time of a small picture.
    figure = Figure(figsize=(columns / dpi, rows / dpi), dpi=dpi)
    figure.figimage(_placed(image, scale, (round(x), round(y)), (rows, columns)), origin="upper")
    in_pixels = Affine2D(np.array([[scale, 0, x], [0, -scale, rows - y], [0, 0, 1]]))  # y counts from below
    for mark in marks:
        _draw(figure, mark, in_pixels)
    jpeg = io.BytesIO()
    figure.savefig(jpeg, format="jpg", dpi=dpi, pil_kwargs={"quality": 82})
    return jpeg.getvalue()


def _placed(
    image: NDArray[np.uint8], scale: float, corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The image in another size on a ground of ``(height, width)``, its first pixel at ``(x, y)``."""
    (x, y), (rows, columns) = corner, size
    width = min(max(1, round(scale * image.shape[1])), columns - x)
    height = min(max(1, round(scale * image.shape[0])), rows - y)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    ground = np.full((rows, columns, 3), _GREY, np.uint8)
    ground[y : y + height, x : x + width] = cv2.resize(image, (width, height), interpolation=interpolation)
    return ground


def _draw(figure: Figure, mark: Mark, in_pixels: Affine2D) -> None:
    x1, y1, x2, y2 = (float(corner) for corner in mark.box)
    # A dark rim keeps every colour visible on every ground.
    rim = [withStroke(linewidth=mark.width + 1.2, foreground="#00000090")]
    style = "--" if mark.dashed else "-"
    figure.add_artist(
        Rectangle(
            (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=mark.colour, linewidth=mark.width,
            linestyle=style, path_effects=rim, transform=in_pixels,
        )
    )  # fmt: skip
    if mark.text:
        x, y = in_pixels.transform((x1, y1))
        columns, rows = figure.get_size_inches() * figure.dpi
        # Within the picture, also of a box at its upper or right border.
        right, below = x > 0.75 * columns, y > 0.94 * rows
        if right:
            x = in_pixels.transform((x2, y1))[0]
        label = {"facecolor": mark.colour, "edgecolor": "none", "pad": 1.2}
        figure.text(
            min(max(x, 0), columns), min(max(y, 0), rows), drawn(mark.text), fontsize=7, color="#000000",
            bbox=label, transform=IdentityTransform(), horizontalalignment="right" if right else "left",
            verticalalignment="top" if below else "bottom",
        )  # fmt: skip
