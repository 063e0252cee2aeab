"""How one image of the generated set is drawn: clutter, shapes, and boxes of what can be seen."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

WAVES_FRACTION = 0.3  # images whose two colours alternate in stripes


def draw_background(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Two colours in a gradient or in waves, under noise of several frequencies, as RGB."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * ramp[:, None] + np.sin(angle) * ramp
    waves = rng.uniform(5, 40) if rng.random() < WAVES_FRACTION else 1.0
    mix = (0.5 + 0.35 * np.sin(waves * along))[..., None].astype(np.float32)
    first, second = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    canvas = first * mix + second * (1 - mix)
    for cells, strongest in ((3, 50), (9, 35), (size // 4, 25), (size, 20)):
        canvas += rng.uniform(0, strongest) * smooth_noise(rng, size, cells)
    return np.asarray(np.clip(canvas, 0, 255), dtype=np.uint8)


def smooth_noise(rng: np.random.Generator, size: int, cells: int, channels: int = 3) -> NDArray[np.float32]:
    """Smooth noise in -1..1, ``(S, S, channels)``, with ``cells`` bumps per side."""
    coarse = rng.random((cells, cells, channels), dtype=np.float32) * 2 - 1
    noise = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(noise, dtype=np.float32).reshape(size, size, channels)


def scribble(rng: np.random.Generator, image: NDArray[np.uint8], count: int) -> None:
    """Draws distractors: lines, bent strokes, arcs and specks, none of them a closed shape."""
    size = len(image)
    strokes: tuple[Callable[..., object], ...] = (_line, _bent_stroke, _arc, _specks)
    for _ in range(count):
        color: list[float] = rng.uniform(0, 255, 3).tolist()
        thickness = int(rng.integers(1, 2 + size // 50))
        strokes[rng.integers(len(strokes))](rng, image, color, thickness)


def _line(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    start, end = rng.integers(0, len(image), (2, 2)).tolist()
    cv2.line(image, start, end, color, thickness, cv2.LINE_AA)


def _bent_stroke(
    rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int
) -> None:
    count, size = int(rng.integers(3, 7)), len(image)
    # Each step is longer than the stroke is thick: short ones would clot into a blob that looks like a shape.
    length, turn = rng.uniform(size / 10, size / 4, count), rng.uniform(0, 2 * np.pi, count)
    steps = np.stack([np.cos(turn) * length, np.sin(turn) * length], axis=1)
    points = (rng.uniform(0, size, 2) + steps.cumsum(axis=0)).astype(np.int32)
    cv2.polylines(image, [points], False, color, thickness, cv2.LINE_AA)


def _arc(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    center = rng.integers(0, len(image), 2).tolist()
    axes = rng.integers(len(image) // 16, len(image) // 3, 2).tolist()
    start, turn = rng.uniform(0, 360), rng.uniform(40, 180)
    cv2.ellipse(image, center, axes, rng.uniform(0, 180), start, start + turn, color, thickness, cv2.LINE_AA)


def _specks(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    radius = max(1, thickness // 2)
    for center in rng.integers(0, len(image), (int(rng.integers(5, 20)), 2)).tolist():
        cv2.circle(image, center, radius, color, -1, cv2.LINE_AA)


Image = NDArray[np.uint8]
Polygon = NDArray[np.float64]

EMPTY_FRACTION = 0.05  # images without objects
MAX_OBJECTS = 4
SIDES = (14 / 128, 80 / 128)  # longest side of a shape, in sides of the image
MAX_COVER = 0.35  # of the smaller of two boxes: shapes overlap, but can be told apart
DIFFICULT_BELOW = 0.8  # visible fraction
HIDDEN_BELOW = 0.15  # visible fraction under which a shape is not annotated: nobody could name it
MAX_TURN = np.pi / 9  # to either side of upright
MIN_CONTRAST = 90.0  # distance in RGB between a shape and what lies behind it
SHIFT = 4  # cv2 draws with 4 fractional bits, so that outlines fall between pixels


class DrawnObject(NamedTuple):
    """One annotated shape."""

    name: str
    box: tuple[int, int, int, int]
    """Edges of the visible pixels, ``x1 y1 x2 y2``."""
    difficult: bool


class Drawing(NamedTuple):
    """One image, ``(S, S, 3)`` RGB, and its objects."""

    image: Image
    objects: list[DrawnObject]


def _polar(radii: list[float], first: float = -np.pi / 2) -> Polygon:
    """The polygon with these distances from the centre, at equal angles from ``first`` (upwards) on."""
    angles = first + np.arange(len(radii)) * (2 * np.pi / len(radii))
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def _heart() -> Polygon:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return (
        np.stack([16 * np.sin(t) ** 3, -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t)], axis=1) / 16
    )


_ARROW = [(-1, -0.28), (0.1, -0.28), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.28), (-1, 0.28)]
_ARM = 0.33
_CROSS = [(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM)]
_CROSS += [(-x, -y) for x, y in _CROSS]

# Each shape is a list of polygons filled by the even-odd rule: the second one is a hole.
_OUTLINES: dict[str, list[Polygon]] = {
    "arrow": [np.array(_ARROW)],
    "circle": [_polar([1.0] * 48)],
    "cross": [np.array(_CROSS)],
    "heart": [_heart()],
    "ring": [_polar([1.0] * 48), _polar([0.55] * 48)],
    "square": [_polar([1.0] * 4, first=np.pi / 4)],
    "star": [_polar([1.0, 0.42] * 5)],
    "triangle": [_polar([1.0] * 3)],
}
SHAPE_CLASSES = tuple(_OUTLINES)


def draw_image(rng: np.random.Generator, size: int) -> Drawing:
    """Draws one image.

    Args:
        rng: decides everything.
        size: side of the image in pixels.
    """
    image = draw_background(rng, size)
    scribble(rng, image, int(rng.integers(2, 7)))
    masks: list[tuple[str, NDArray[np.bool_]]] = []
    count = 0 if rng.random() < EMPTY_FRACTION else int(rng.integers(1, MAX_OBJECTS + 1))
    for center, side in _place(rng, size, count):
        name = str(rng.choice(SHAPE_CLASSES))
        coverage = _rasterize(_pose(rng, _OUTLINES[name], center, side), size)
        _paint(rng, image, coverage)
        masks.append((name, coverage >= 128))
    if rng.random() < 0.3:
        scribble(rng, image, 1)
    return Drawing(image, _visible_objects(masks))


def _visible_objects(masks: list[tuple[str, NDArray[np.bool_]]]) -> list[DrawnObject]:
    """Boxes around what later shapes leave to be seen."""
    objects = []
    for position, (name, mask) in enumerate(masks):
        visible = mask.copy()
        for _, later in masks[position + 1 :]:
            visible &= ~later
        fraction = visible.sum() / mask.sum()
        if fraction >= HIDDEN_BELOW:
            x, y, width, height = cv2.boundingRect(visible.astype(np.uint8))
            box = (x, y, x + width, y + height)
            objects.append(DrawnObject(name, box, bool(fraction < DIFFICULT_BELOW)))
    return objects


def _place(rng: np.random.Generator, size: int, count: int) -> list[tuple[NDArray[np.float64], float]]:
    """Centres and longest sides; shapes may overlap, but seldom wholly."""
    placed: list[tuple[NDArray[np.float64], float]] = []
    for _ in range(count):
        side = size * float(rng.uniform(*SIDES))
        for _ in range(10):
            center = rng.uniform(side / 2 + 1, size - side / 2 - 1, 2)
            overlaps = (
                np.clip((side + other) / 2 - np.abs(center - middle), 0, min(side, other)).prod()
                / min(side, other) ** 2
                for middle, other in placed
            )
            if all(overlap <= MAX_COVER for overlap in overlaps):
                placed.append((center, side))
                break
    return placed


def _pose(
    rng: np.random.Generator, outline: list[Polygon], center: NDArray[np.float64], side: float
) -> list[Polygon]:
    """Stretches, turns, scales and moves a shape; the longest side of its box becomes ``side``."""
    angle = rng.uniform(-MAX_TURN, MAX_TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1.0, rng.uniform(0.75, 1.0)])
    turned = [polygon @ matrix.T for polygon in outline]
    low, high = turned[0].min(axis=0), turned[0].max(axis=0)
    scale = side / (high - low).max()
    return [(polygon - (low + high) / 2) * scale + center for polygon in turned]


def _rasterize(polygons: list[Polygon], size: int) -> Image:
    coverage = np.zeros((size, size), np.uint8)
    points = [np.round((polygon - 0.5) * (1 << SHIFT)).astype(np.int32) for polygon in polygons]
    cv2.fillPoly(coverage, points, 255, lineType=cv2.LINE_AA, shift=SHIFT)
    return coverage


def _paint(rng: np.random.Generator, image: Image, coverage: Image) -> None:
    """Fills a shape with any colour that differs from what lies behind, shaded, grained or outlined."""
    behind = np.array(cv2.mean(image, coverage)[:3])
    color = rng.uniform(0, 255, 3)
    while np.linalg.norm(color - behind) < MIN_CONTRAST:
        color = rng.uniform(0, 255, 3)
    size = len(image)
    paint = np.full((size, size, 3), color, np.float32)
    paint += rng.uniform(0, 25) * smooth_noise(rng, size, int(rng.integers(2, 17)), channels=1)
    alpha = coverage.astype(np.float32)[..., None] / 255
    image[:] = np.clip(image + alpha * (paint - image), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        edge: list[float] = rng.uniform(0, 255, 3).tolist()
        contours, _ = cv2.findContours(
            (coverage >= 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(image, contours, -1, edge, 1, cv2.LINE_AA)
