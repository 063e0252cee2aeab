"""One colour per class, the same in every picture, and letters that stand out from it."""

import numpy as np
from matplotlib import color_sequences
from matplotlib.colors import to_rgb

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
