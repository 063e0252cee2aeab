"""How figures look: on light and on dark pages, in colours that colour-blind readers tell apart."""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

DPI = 200
_LONGEST_NAME = 20  # characters


class Theme(NamedTuple):
    """Colours of a page and of the figures on it."""

    background: str
    text: str
    muted: str
    grid: str
    # Blue and vermilion of Okabe and Ito's palette, which remain apart for all kinds of colour blindness.
    main: str
    accent: str


LIGHT = Theme("#ffffff", "#1c2127", "#5a6572", "#e3e7eb", "#0072b2", "#d55e00")
DARK = Theme("#1a1e24", "#e8ebee", "#9aa5b1", "#343b44", "#56b4e9", "#f08a4b")


class Picture(NamedTuple):
    """A figure that is still to be drawn."""

    name: str
    """Of its file, without the ending."""
    size: tuple[float, float]
    """Width and height in inches."""
    draw: Callable[[Figure, Theme], None]
    alt: str
    """What it shows, for readers who do not see it."""


class ThemedPicture(NamedTuple):
    """A figure for light and for dark pages, as PNG."""

    light: bytes
    dark: bytes
    alt: str


def render_both(picture: Picture) -> ThemedPicture:
    """Draw a figure for light and for dark pages."""
    light, dark = (render(picture.draw, picture.size, theme) for theme in (LIGHT, DARK))
    return ThemedPicture(light, dark, picture.alt)


def shortened(name: str) -> str:
    """A name that leaves room for the figure beside it.

    Args:
        name: of a class.
    """
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def render(draw: Callable[[Figure, Theme], None], size: tuple[float, float], theme: Theme) -> bytes:
    """Draw a figure as a PNG.

    Args:
        draw: draws into an empty figure.
        size: width and height in inches.
        theme: its colours.
    """
    style: Any = {
        "font.size": 9,
        "text.color": theme.text,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.muted,
        "axes.titlecolor": theme.text,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.grid,
        "legend.frameon": False,
        "figure.facecolor": theme.background,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, theme)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI)
    return png.getvalue()
