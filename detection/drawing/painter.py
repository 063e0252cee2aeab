"""Boxes and labels painted into an image: the one drawer of boxes, readable at any size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from detection.drawing.colours import (
    OUTCOME_COLOURS,
    Colour,
    class_colour,
    colour_of_letters,
    in_bytes,
    in_numbers,
)
from detection.drawing.labels import Label, make_label, place_labels
from detection.types import Detections, Outcome

_LINES = 200  # the side of an image by the width of its lines
_LETTERS = 34  # and by the size of its letters
_SMALLEST_LETTERS = 10  # pixels: below, letters are hard to tell apart; icons have no room for them
_OF_ICONS = 7  # the side of an icon by the size of its letters
_RIM = (20, 20, 20)  # a dark edge keeps lines of every colour visible on every ground


class Mark(NamedTuple):
    """A box to draw."""

    box: Sequence[float]
    """``xyxy`` in pixels; its sides may be in any order, and it may reach past the image."""
    text: str
    colour: Colour | str
    width: float = 1.0
    """Of its line, in lines of the image."""
    dashed: bool = False


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, class_names: Sequence[str]
) -> NDArray[np.uint8]:
    """Paint boxes with class, track and score, a class in its colour; the best are painted over the others.

    Args:
        image: ``(H, W, 3)`` RGB; left as it is.
        detections: in the pixels of the image.
        class_names: names by label.

    Returns:
        ``(H, W, 3)`` RGB, of the same size.
    """
    columns = (detections["boxes"].tolist(), detections["scores"].tolist(), detections["labels"].tolist())
    names = [class_names[label] for label in columns[2]]
    if "tracks" in detections:
        names = [f"{name} #{track}" for name, track in zip(names, detections["tracks"].tolist(), strict=True)]
    marks = [
        Mark(box, f"{name} {score:.2f}", class_colour(label))
        for box, score, label, name in zip(*columns, names, strict=True)
    ]
    return draw_marks(image, marks[::-1])


def outcome_marks(outcomes: Sequence[Outcome], class_names: Sequence[str]) -> list[Mark]:
    """What to paint to show which objects were found, which were missed, and what is not there.

    Objects that were found are thin lines without a label, those that were missed are dashed.

    Args:
        outcomes: of one image.
        class_names: names by label.
    """
    marks = []
    for outcome in outcomes:
        text = "" if outcome.kind == "found" else class_names[outcome.label]
        if outcome.score is not None:
            text += f" {outcome.score:.2f}"
        width = 0.6 if outcome.kind == "found" else 1.0
        colour, dashed = OUTCOME_COLOURS[outcome.kind], outcome.kind == "missed"
        marks.append(Mark(outcome.box, text, colour, width, dashed))
    return marks


def draw_marks(
    image: NDArray[np.uint8], marks: Sequence[Mark], letters: float | None = None
) -> NDArray[np.uint8]:
    """Paint boxes, the last on top, and then their labels, which never cover each other.

    Lines and letters grow with the image. In a crowd that leaves no room, labels of the first marks are left
    out.

    Args:
        image: ``(H, W, 3)`` RGB; left as it is.
        marks: the boxes.
        letters: size of the letters in pixels; None for one that suits the image.

    Returns:
        ``(H, W, 3)`` RGB, of the same size.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    side = (canvas.width * canvas.height) ** 0.5
    if letters is None:
        letters = max(min(_SMALLEST_LETTERS, side / _OF_ICONS), side / _LETTERS)
    boxes = [_on_pixels(mark.box, canvas.size) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        _draw_box(draw, mark, box, max(1, round(mark.width * side / _LINES)))
    with_text = [number for number, mark in enumerate(marks) if mark.text][::-1]
    labels = [make_label(marks[number].text, letters, canvas.width) for number in with_text]
    edges = [boxes[number] for number in with_text]
    corners = np.array(edges, dtype=np.float64).reshape(-1, 4) + np.array((0, 0, 1, 1))
    places = place_labels(corners, [label.size for label in labels], (canvas.height, canvas.width))
    for number, label, place in zip(with_text, labels, places, strict=True):
        if place is not None:
            _draw_label(draw, label, place, in_numbers(marks[number].colour))
    return np.asarray(canvas)


Edges = tuple[int, int, int, int]
"""The first and the last column and row of a box, ``x1, y1, x2, y2``, as Pillow wants them."""


def _on_pixels(box: Sequence[float], size: tuple[int, int]) -> Edges:
    (x1, x2), (y1, y2) = sorted((round(box[0]), round(box[2]))), sorted((round(box[1]), round(box[3])))
    x1, y1 = min(x1, size[0] - 1), min(y1, size[1] - 1)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)


def _draw_box(draw: ImageDraw.ImageDraw, mark: Mark, box: Edges, line: int) -> None:
    colour = in_bytes(mark.colour)
    rim = line // 3 or int(line > 1)  # a line of one pixel is too thin for it
    if rim:
        x1, y1, x2, y2 = box
        draw.rectangle((x1 - rim, y1 - rim, x2 + rim, y2 + rim), outline=_RIM, width=rim)
    if not mark.dashed:
        draw.rectangle(box, outline=colour, width=line)
        return
    for segment in _dashes(box, line):
        draw.rectangle(segment, fill=colour)


def _dashes(box: Edges, line: int) -> list[Edges]:
    """Filled rectangles along the four sides, one at each corner."""
    x1, y1, x2, y2 = box
    pieces: list[Edges] = []
    for first, last, across in ((x1, x2, False), (y1, y2, True)):
        length = last - first + 1
        number = max(round(length / (8 * line)), 1)  # of dashes and gaps, which are as long
        ends = np.linspace(first, last + 1, 2 * number).round().astype(int).tolist()
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            for edge in (y1, y2 - line + 1) if not across else (x1, x2 - line + 1):
                low, high = (start, max(stop - 1, start)), (edge, edge + line - 1)
                pieces.append(
                    (high[0], low[0], high[1], low[1]) if across else (low[0], high[0], low[1], high[1])
                )
    return pieces


def _draw_label(draw: ImageDraw.ImageDraw, label: Label, place: tuple[int, int], colour: Colour) -> None:
    (x, y), (width, height) = place, label.size
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=in_bytes(colour))
    draw.text((x + label.margin, y), label.text, fill=colour_of_letters(colour), font=label.font)
