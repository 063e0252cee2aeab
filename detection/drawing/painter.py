"""Boxes and labels painted into an image: one colour per class, readable at any size."""

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import color_sequences
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from detection.types import Detections

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

# Twenty colours told apart on photographs, strong ones first.
_COLOURS = (*color_sequences["tab20"][::2], *color_sequences["tab20"][1::2])
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def class_colour(label: int) -> Colour:
    """The colour of a class; the twenty repeat."""
    return to_rgb(_COLOURS[label % len(_COLOURS)])


def colour_of_letters(background: Colour) -> str:
    """Black or white, whichever is read more easily."""
    return "black" if np.dot(background, _LUMA) > 0.6 else "white"


_FONT = Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
_SMALLEST_FONT = 10  # pixels: below, letters cannot be told apart


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, class_names: Sequence[str]
) -> NDArray[np.uint8]:
    """Paint boxes with class and score; lines and letters grow with the image.

    A label sits on top of its box, or inside where the image ends, and never leaves the image. The best
    detections are painted last, over the others.

    Args:
        image: ``(H, W, 3)`` RGB; left as it is.
        detections: in the pixels of the image.
        class_names: names by label.

    Returns:
        ``(H, W, 3)`` RGB, of the same size.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    side = (canvas.width * canvas.height) ** 0.5
    line = max(1, round(side / 250))
    font = _font(max(_SMALLEST_FONT, round(side / 40)))
    labels = detections["labels"].tolist()
    items = zip(detections["boxes"].tolist(), detections["scores"].tolist(), labels, strict=True)
    for box, score, label in reversed(list(items)):
        colour = class_colour(label)
        x1, y1, x2, y2 = map(round, box)
        x1, y1 = min(x1, canvas.width - 1), min(y1, canvas.height - 1)
        # Lines lie on the first and the last pixel inside, of which Pillow wants to know.
        last = max(x1, x2 - 1), max(y1, y2 - 1)
        draw.rectangle((x1, y1, *last), outline=_in_bytes(colour), width=line)
        _draw_label(draw, canvas.size, (x1, y1), f"{class_names[label]} {score:.2f}", colour, font)
    return np.asarray(canvas)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corner: tuple[int, int],
    text: str,
    colour: Colour,
    font: ImageFont.FreeTypeFont,
) -> None:
    margin = max(1, round(font.size / 8))
    # A narrow image gets smaller letters rather than half a word.
    while draw.textlength(text, font) + 2 * margin > size[0] and font.size > 6:
        font = _font(round(font.size) - 1)
    ascent, descent = font.getmetrics()
    width, height = round(draw.textlength(text, font)) + 2 * margin, ascent + descent
    x = max(0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    y = max(0, min(y, size[1] - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=_in_bytes(colour))
    draw.text((x + margin, y), text, fill=colour_of_letters(colour), font=font)


def _in_bytes(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), size)
