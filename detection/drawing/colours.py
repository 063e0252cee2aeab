"""The colours of boxes, the same in training, predictions, reports and notebooks."""

from colorsys import hsv_to_rgb

import numpy as np
from PIL import ImageColor

from detection.types import OutcomeKind

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

# Neighbouring labels are far apart: hues by the golden ratio, in three shades that stand out on photographs.
_GOLDEN = 0.618034
_SHADES = ((0.8, 1.0), (0.95, 0.75), (0.5, 1.0))  # saturation and value
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

# After Okabe and Ito: apart for colour-blind readers, and bright on photographs.
BLUE, VERMILION, YELLOW, WHITE = "#56b4e9", "#ff6a13", "#f0e442", "#ffffff"
OUTCOME_COLOURS: dict[OutcomeKind, str] = {
    "true_positive": BLUE,
    "false_positive": VERMILION,
    "missed": YELLOW,
    "found": WHITE,
    "ignored": WHITE,
}
"""By what became of a box."""


def class_colour(label: int) -> Colour:
    """The colour of a class."""
    return hsv_to_rgb((0.58 + _GOLDEN * label) % 1, *_SHADES[label % len(_SHADES)])


def colour_of_letters(background: Colour) -> str:
    """Black or white, whichever is read more easily."""
    return "black" if np.dot(background, _LUMA) > 0.55 else "white"


def in_numbers(colour: Colour | str) -> Colour:
    """Red, green and blue, 0 to 1.

    Args:
        colour: also by name or as ``#rrggbb``.
    """
    if not isinstance(colour, str):
        return colour
    red, green, blue = (value / 255 for value in ImageColor.getrgb(colour)[:3])
    return red, green, blue


def in_bytes(colour: Colour | str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255.

    Args:
        colour: also by name or as ``#rrggbb``.
    """
    red, green, blue = (round(255 * value) for value in in_numbers(colour))
    return red, green, blue
