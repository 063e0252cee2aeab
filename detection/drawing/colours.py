"""The colours of boxes, the same in training, predictions, reports and notebooks."""

import numpy as np
from matplotlib import color_sequences
from matplotlib.colors import to_rgb

from detection.types import OutcomeKind

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

# Twenty colours told apart on photographs, strong ones first.
_COLOURS = (*color_sequences["tab20"][::2], *color_sequences["tab20"][1::2])
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
    """The colour of a class; the twenty repeat."""
    return to_rgb(_COLOURS[label % len(_COLOURS)])


def colour_of_letters(background: Colour) -> str:
    """Black or white, whichever is read more easily."""
    return "black" if np.dot(background, _LUMA) > 0.6 else "white"


def in_bytes(colour: Colour | str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255.

    Args:
        colour: also by name or as ``#rrggbb``.
    """
    red, green, blue = (round(255 * value) for value in to_rgb(colour))
    return red, green, blue
