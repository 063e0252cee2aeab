"""Where the labels of boxes go, and the letters that they are written in."""

import functools
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

Boxes = NDArray[np.floating[Any]]

_SMALLEST = 6  # pixels of letters: below, a name is cut instead
_LONGEST = 48  # letters of a label
_MATPLOTLIB = find_spec("matplotlib")  # not imported: that takes longer than finding objects in an image
assert _MATPLOTLIB is not None
_FONT = Path(str(_MATPLOTLIB.origin)).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf"
_PLAIN = frozenset(range(32, 127))  # letters that it has
# Rows of places for a label: lines above a box (1 is on top of it), below it, or inside, counted from its
# lower edge, where an object has no face (0: at its upper edge); and what they cost beside what they hide.
_ROWS = (
    ("above", 1, 0.0), ("below", 1, 0.03), ("inside", 1, 0.05), ("inside", 0, 0.08), ("above", 2, 0.1),
    ("below", 2, 0.1), ("inside", 2, 0.12), ("above", 3, 0.2), ("below", 3, 0.2), ("inside", 3, 0.2),
    ("above", 4, 0.3), ("below", 4, 0.3), ("inside", 4, 0.3),
)  # fmt: skip


class Label(NamedTuple):
    """A text that fits its image."""

    text: str
    font: ImageFont.FreeTypeFont
    margin: int
    """Pixels to the left and to the right of the text."""
    size: tuple[int, int]
    """Width and height, margins included."""


def make_label(text: str, letters: float, room: int) -> Label:
    """Choose the letters of a label: smaller ones where the image is narrow, and a cut name at last.

    Args:
        text: on one line; what cannot be printed becomes a space.
        letters: size of the letters in pixels.
        room: width of the image in pixels.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    font = font_for(text, round(letters))
    while _width(text, font) > room and font.size > _SMALLEST:
        font = font_for(text, round(font.size) - 1)
    while _width(text, font) > room and len(text) > 1:
        text = f"{text[:-2]}…"
    ascent, descent = font.getmetrics()
    return Label(text, font, _margin(font), (_width(text, font), ascent + descent))


def _margin(font: ImageFont.FreeTypeFont) -> int:
    return max(1, round(font.size / 6))


def _width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return round(font.getlength(text)) + 2 * _margin(font)


def place_labels(
    boxes: Boxes, sizes: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """Find places for labels: they never overlap, lie inside the image and hide little of what is in boxes.

    A label goes on top of its box; below it, or inside, where there is no room, or where less is hidden.

    Args:
        boxes: ``(N, 4)`` xyxy pixels, the most important first: its label chooses first.
        sizes: width and height of each label in pixels.
        image_size: ``(height, width)``.

    Returns:
        The upper left corner of each label; None in a crowd that leaves no room for it.
    """
    height, width = image_size
    inside = np.clip(boxes, 0, (width, height, width, height)).astype(np.float64)
    areas = np.maximum((inside[:, 2:] - inside[:, :2]).prod(axis=1), 1.0)
    taken = np.zeros((0, 4))
    corners: list[tuple[int, int] | None] = []
    for box, size in zip(inside, sizes, strict=True):
        places, costs = _places(box, size, image_size)
        costs = costs + (_overlaps(places, inside) / areas).sum(axis=1)
        costs[(_overlaps(places, taken) > 0).any(axis=1)] = np.inf
        best = int(np.argmin(costs)) if len(costs) else -1
        if best < 0 or not np.isfinite(costs[best]):
            corners.append(None)
            continue
        taken = np.concatenate([taken, places[best : best + 1]])
        corners.append((int(places[best, 0]), int(places[best, 1])))
    return corners


def _places(
    box: Boxes, size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[Boxes, NDArray[np.float64]]:
    """The places ``(K, 4)`` for a label near a box, those inside the image, and what each costs."""
    x1, y1, x2, y2 = np.round(box)
    width, height = size
    columns = [
        (min(max(x, 0), image_size[1] - width), cost)
        for x, cost in ((x1, 0.0), (x2 - width, 0.01), ((x1 + x2 - width) // 2, 0.02))
    ]
    tops = {"above": y1, "below": y2 - height, "inside": y2}
    step = {"above": -height, "below": height, "inside": -height}
    rows = [(tops[side] + number * step[side] if number else y1, cost) for side, number, cost in _ROWS]
    found = [
        ((x, y, x + width, y + height), of_column + of_row)
        for y, of_row in rows
        for x, of_column in columns
        if x >= 0 and y >= 0 and y + height <= image_size[0]
    ]
    return np.array([place for place, _ in found]).reshape(-1, 4), np.array([cost for _, cost in found])


def _overlaps(a: Boxes, b: Boxes) -> Boxes:
    """Shared pixels of each pair: ``(N, 4)`` and ``(M, 4)`` to ``(N, M)``."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared: Boxes = np.maximum(sides, 0).prod(axis=2)
    return shared


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that has the letters of a text: matplotlib's own, or else one of the system's.

    Args:
        text: in any script.
        size: in pixels.

    Returns:
        matplotlib's font also where no font has all letters: the missing ones are drawn as boxes.
    """
    return _opened(_font_file(frozenset(map(ord, text))), max(size, 1))


def family_for(text: str) -> list[str]:
    """The names by which matplotlib finds the letters of a text: its own font, and one of the system's.

    Args:
        text: in any script.

    Returns:
        One name or two: matplotlib takes each letter from the first font that has it.
    """
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    own = FT2Font(str(_FONT)).family_name
    missing = frozenset(map(ord, text)) - _letters_of(_FONT)
    path = _font_file(missing)
    if not missing or path == _FONT:
        return [own]
    fontManager.addfont(path)
    return [own, FT2Font(str(path)).family_name]


@functools.cache  # of few files and sizes, but not of all texts of a video
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@functools.lru_cache(1024)
def _font_file(letters: frozenset[int]) -> Path:
    if letters <= _PLAIN:
        return _FONT
    for path in (_FONT, *_system_fonts()):
        if letters <= _letters_of(path):
            return path
    unknown = "".join(map(chr, sorted(letters - _letters_of(_FONT)))).strip()
    if unknown:
        print(
            f"No font of this system has {unknown!r}, which is drawn as boxes: install one "
            "(Debian: apt install fonts-noto-cjk).",
            file=sys.stderr,
            flush=True,
        )
    return _FONT


@functools.cache
def _system_fonts() -> tuple[Path, ...]:
    from matplotlib.font_manager import findSystemFonts

    return tuple(Path(path) for path in sorted(findSystemFonts()))


@functools.cache
def _letters_of(path: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, OSError):  # a font of another kind, such as bitmaps
        return frozenset()
