"""A page as one HTML file that needs nothing else, and how figures look on it."""

import base64
import io
import re
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from matplotlib.text import Text

from detection.drawing.labels import family_for
from detection.system.wording import escaped

DPI = 200
_LONGEST_NAME = 20  # characters
_MISSING = r"Glyph (\d+) .*missing from"  # what matplotlib warns of


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
        return _as_png(figure)


def _as_png(figure: Figure) -> bytes:
    """Save a figure; again in another font where a letter is missing."""
    png = io.BytesIO()
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", _MISSING)
        figure.savefig(png, format="png", dpi=DPI)
    missing = [found[1] for item in told if (found := re.match(_MISSING, str(item.message)))]
    if not missing:
        return png.getvalue()
    family = family_for("".join(chr(int(number)) for number in missing))
    for text in figure.findobj(Text):
        text.set_fontfamily(family)
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MISSING)  # told in a sentence
        figure.savefig(png, format="png", dpi=DPI)
    return png.getvalue()


class Photo(NamedTuple):
    """An image with its boxes drawn, and what is to be said about it."""

    jpeg: bytes | None
    """None where it cannot be shown: its name stands in an empty box."""
    name: str
    note: str
    alt: str
    """What it shows, for readers who do not see it."""


def render_template(template: Path, filters: dict[str, Callable[[Any], str]], **content: Any) -> str:
    """Write a page as HTML.

    Args:
        template: what extends ``base.html.jinja``.
        filters: of the template, by name.
        content: what the template knows, by name; names of classes and files may hold anything.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([template.parent, folder]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"png": _as_address("image/png"), "jpeg": _as_address("image/jpeg"), **filters}
    page = environment.get_template(template.name).render(
        **content,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        script=(folder / "page.js").read_text(encoding="utf-8"),
    )
    return escaped(page, but="\n\t")


def _as_address(kind: str) -> Callable[[bytes], str]:
    return lambda data: f"data:{kind};base64,{base64.b64encode(data).decode()}"
