"""Photos with boxes drawn on them: small ones for a page, and several side by side in one picture."""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from detection.drawing.colours import OUTCOME_COLOURS, in_bytes
from detection.drawing.labels import font_for, make_label
from detection.drawing.painter import Mark, draw_marks, outcome_marks
from detection.types import Outcome, OutcomeKind

_FLATTEST, _TALLEST = 0.4, 1.8  # height by width of a photo; what is beyond gets bars at its sides
_GREY = 128  # of the bars
_LETTERS = 32  # width of a photo by the size of its letters

Crop = tuple[float, float, float, float]
"""``x1, y1, x2, y2`` in pixels of the image: what of it, and around it, is shown."""

LEGEND: dict[OutcomeKind, str] = {
    "true_positive": "true positive",
    "false_positive": "false positive",
    "missed": "missed object",
    "found": "ground truth that was found",
}
"""What the colours of outcomes mean; what is ignored has the colour of the ground truth."""


def draw_photo(
    image: NDArray[np.uint8], marks: Sequence[Mark], width: int, crop: Crop | None = None
) -> bytes:
    """Draw boxes on an image, the last on top, as a JPEG.

    Args:
        image: ``(H, W, 3)`` RGB, in the pixels of the boxes.
        marks: the boxes.
        width: of the JPEG in pixels.
        crop: what to show; None shows the image.
    """
    crop = crop or (0, 0, image.shape[1], image.shape[0])
    pixels = _shown(image, marks, (round(width * _shape(crop)), width), crop, width / _LETTERS)
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()


def _shape(crop: Crop) -> float:
    """Height by width of a photo."""
    return min(max((crop[3] - crop[1]) / (crop[2] - crop[0]), _FLATTEST), _TALLEST)


def _shown(
    image: NDArray[np.uint8], marks: Sequence[Mark], size: tuple[int, int], crop: Crop, letters: float
) -> NDArray[np.uint8]:
    """The crop with its boxes on a ground of ``(height, width)``."""
    left, top, right, bottom = crop
    rows, columns = size
    scale = min(columns / (right - left), rows / (bottom - top))
    x, y = (columns - scale * (left + right)) / 2, (rows - scale * (top + bottom)) / 2
    corner = max(round(x), 0), max(round(y), 0)
    width = min(max(1, round(scale * image.shape[1])), columns - corner[0])
    height = min(max(1, round(scale * image.shape[0])), rows - corner[1])
    # Rounding leaves no line of the ground at the edge.
    width += int(columns - corner[0] - width == 1)
    height += int(rows - corner[1] - height == 1)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    ground = np.full((rows, columns, 3), _GREY, np.uint8)
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    ground[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = resized
    moved = [mark._replace(box=(np.array(mark.box) * scale + (x, y, x, y)).tolist()) for mark in marks]
    return draw_marks(ground, moved, letters)


_WIDTH, _GAP, _COLUMNS, _HIGHEST = 1800, 14, 4, 620  # pixels of the picture; images in a row; height of a row
_CAPTION = 20  # pixels of the letters below an image


def plot_predictions(
    images: Sequence[NDArray[np.uint8]],
    outcomes: Sequence[Sequence[Outcome]],
    captions: Sequence[str],
    class_names: Sequence[str],
    path: Path,
    threshold: float,
) -> None:
    """Write a PNG: each image with what was found and what was missed, and a legend.

    Args:
        images: ``(H, W, 3)`` uint8, at the original size that boxes refer to.
        outcomes: of each image.
        captions: one per image.
        class_names: names by label.
        path: file to write.
        threshold: lowest score that was counted, for the legend.
    """
    rows = [_row(*part, class_names) for part in _parts(images, outcomes, captions)]
    legend = 3 * _CAPTION
    picture = Image.new("RGB", (_WIDTH, legend + sum(row.height + _GAP for row in rows)), "white")
    _draw_legend(ImageDraw.Draw(picture), threshold)
    top = legend
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height + _GAP
    picture.save(path)


Part = tuple[Sequence[NDArray[np.uint8]], Sequence[Sequence[Outcome]], Sequence[str]]


def _parts(
    images: Sequence[NDArray[np.uint8]], outcomes: Sequence[Sequence[Outcome]], captions: Sequence[str]
) -> list[Part]:
    """Rows of about as many images each."""
    rows = -(-len(images) // _COLUMNS)
    ends = np.linspace(0, len(images), rows + 1).round().astype(int).tolist()
    return [(images[a:b], outcomes[a:b], captions[a:b]) for a, b in pairwise(ends)]


def _row(
    images: Sequence[NDArray[np.uint8]],
    outcomes: Sequence[Sequence[Outcome]],
    captions: Sequence[str],
    class_names: Sequence[str],
) -> Image.Image:
    """Images of one height, side by side, with their captions."""
    crops = [(0, 0, image.shape[1], image.shape[0]) for image in images]
    room = _WIDTH - _GAP * (len(images) + 1)
    height = min(room / sum(1 / _shape(crop) for crop in crops), _HIGHEST)
    row = Image.new("RGB", (_WIDTH, round(height) + 2 * _CAPTION), "white")
    draw, left = ImageDraw.Draw(row), _GAP
    for image, boxes, caption, crop in zip(images, outcomes, captions, crops, strict=True):
        width = round(height / _shape(crop))
        marks = outcome_marks(boxes, class_names)
        shown = _shown(image, marks, (round(height), width), crop, max(height / 26, 12))
        row.paste(Image.fromarray(shown), (left, 0))
        label = make_label(caption, _CAPTION, width)
        draw.text((left, round(height) + 4), label.text, fill="black", font=label.font)
        left += width + _GAP
    return row


def _draw_legend(draw: ImageDraw.ImageDraw, threshold: float) -> None:
    left, top, side = _GAP, _CAPTION, _CAPTION
    font = font_for("", _CAPTION)
    for kind, meaning in LEGEND.items():
        draw.rectangle((left, top, left + 2 * side, top + side), fill=(85, 85, 85))
        mark = Mark((left + 4, top + 4, left + 2 * side - 3, top + side - 3), "", OUTCOME_COLOURS[kind])
        draw.rectangle(mark.box, outline=in_bytes(mark.colour), width=3 if kind != "found" else 2)
        if kind == "missed":  # dashed, as in the images
            draw.rectangle((left + side - 4, top, left + side + 4, top + side), fill=(85, 85, 85))
        draw.text((left + 2 * side + 8, top - 2), meaning, fill="black", font=font)
        left += 2 * side + round(font.getlength(meaning)) + 40
    draw.text((left, top - 2), f"score {threshold:g} or more", fill=(90, 90, 90), font=font)
