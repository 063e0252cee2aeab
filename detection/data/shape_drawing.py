"""How one image of the generated set is drawn: clutter, shapes, and the boxes of what can be seen."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.clutter import draw_background, scribble, smooth_noise

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
