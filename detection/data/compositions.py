"""Pictures made of several: parts of images, mosaics, mixtures, and objects pasted from elsewhere.

All is drawn from the generator that is handed over. For boxes that are cut there is one rule: what is left
of a box is the box; an object of which less than 0.3 of its box is left is dropped, unless it fills 0.3 of
the part.
"""

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.chain import Picture
from detection.data.geometry import Warp
from detection.ops.views import Window

_LEAST_LEFT = 0.3
_WHOLE = 0.25
_AROUND_AN_OBJECT = 0.5
# Sides of a part, in those of the largest window of its shape: objects are up to twice as large as in that.
_PART_SIDES = (0.5, 1.0)
# Where the four parts of a mosaic meet, in sides of it.
_CENTRE = (0.3, 0.7)
# Both images stay visible: nine weights of ten lie between 0.3 and 0.7.
_WEIGHT = 8.0
_MOST_PASTED = 3
_PASTED_SCALES = (0.5, 1.0)
_PLACES_TRIED = 20
# Share of a pasted box that may show other objects: they would come along without boxes.
_MOST_OF_OTHERS = 0.1
_LEAST_PASTED_SIDE = 4


def sample_tile(
    size: tuple[int, int], tile: tuple[int, int], boxes: NDArray[np.floating], rng: random.Random
) -> Window:
    """Draw what is seen of a large image, at the scale at which prediction in tiles sees it.

    That is the whole image, which prediction looks at beside its tiles, in one of four draws; around an
    object, whose centre lies anywhere in the tile, in two; and a tile anywhere in one.

    Args:
        size: ``(height, width)`` of the image.
        tile: ``(height, width)`` of a tile; a side longer than the image's is cut to it.
        boxes: ``(N, 4)`` in pixels of the image.
        rng: draws.
    """
    height, width = size
    down, across = min(tile[0], height), min(tile[1], width)
    kind = rng.random()
    if kind < _WHOLE or (down, across) == size:
        return 0, 0, width, height
    tops, lefts = (0, height - down), (0, width - across)
    if len(boxes) and kind < _WHOLE + _AROUND_AN_OBJECT:
        x1, y1, x2, y2 = boxes[rng.randrange(len(boxes))].tolist()
        tops, lefts = _starts((y1 + y2) / 2, down, height), _starts((x1 + x2) / 2, across, width)
    top, left = rng.randint(*tops), rng.randint(*lefts)
    return left, top, left + across, top + down


def _starts(centre: float, side: int, length: int) -> tuple[int, int]:
    """The first and the last place where a window may begin that holds a centre."""
    last = min(length - side, math.floor(centre))
    return min(last, max(0, math.ceil(centre) - side)), last


def cut(picture: Picture, window: Window) -> Picture:
    """What a window shows of a picture; it shares the picture's memory."""
    left, top, right, bottom = window
    if (left, top, right, bottom) == (0, 0, picture.size[1], picture.size[0]):
        return picture
    moved = picture._replace(
        image=picture.image[top:bottom, left:right], boxes=picture.boxes - np.array([left, top, left, top])
    )
    return visible(moved)


def visible(picture: Picture) -> Picture:
    """Cut boxes to the image, and drop what is hardly seen."""
    height, width = picture.size
    boxes = picture.boxes.clip(0, [width, height, width, height])
    kept = areas(boxes) >= _LEAST_LEFT * areas(picture.boxes).clip(1e-9, height * width)
    return picture._replace(boxes=boxes).keep(kept)


def areas(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of ``(N, 4)`` boxes."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), dtype=np.float64)


def sample_part(
    picture: Picture, size: tuple[int, int], flip_probability: float, rng: random.Random
) -> Picture:
    """Resize a random part of a picture to ``(height, width)``, its shape, so that nothing is stretched.

    The part has half to all of the sides that it can have; it may be mirrored.
    """
    height, width = picture.size
    scale = rng.uniform(*_PART_SIDES) * min(height / size[0], width / size[1])
    down, across = scale * size[0], scale * size[1]
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    mirror = rng.random() < flip_probability
    return _seen(picture, (left, top, left + across, top + down), size, mirror)


def _seen(
    picture: Picture, window: tuple[float, float, float, float], size: tuple[int, int], mirror: bool = False
) -> Picture:
    warp = Warp.of(window, picture.size, size, mirror)
    image = warp.render(picture.image, size, (0, 0, 0), cv2.INTER_LINEAR)
    return visible(picture._replace(image=image, boxes=warp.map_boxes(picture.boxes, size)))


def sample_mosaic(
    pictures: Sequence[Picture], size: tuple[int, int], flip_probability: float, rng: random.Random
) -> Picture:
    """Put parts of four pictures around a random point of a picture of ``(height, width)``.

    Each is resized directly into its place (:func:`sample_part`).
    """
    row, column = (max(1, round(side * rng.uniform(*_CENTRE))) for side in size)
    image = np.empty((*size, 3), dtype=np.uint8)
    parts = []
    corners = [(0, 0, row, column), (0, column, row, size[1]), (row, 0, size[0], column)]
    corners.append((row, column, *size))
    for picture, (top, left, bottom, right) in zip(pictures, corners, strict=True):
        if top == bottom or left == right:  # a side of one pixel has room for one
            continue
        part = sample_part(picture, (bottom - top, right - left), flip_probability, rng)
        image[top:bottom, left:right] = part.image
        parts.append(part._replace(boxes=part.boxes + np.array([left, top, left, top])))
    return _with_all(image, parts)


def _with_all(image: NDArray[np.uint8], pictures: Sequence[Picture]) -> Picture:
    """An image with the objects of several pictures."""
    fields = zip(*((picture.boxes, picture.labels, picture.difficult) for picture in pictures), strict=True)
    boxes, labels, difficult = (np.concatenate(field) for field in fields)
    return Picture(image, boxes, labels, difficult)


def sample_mixture(first: Picture, second: Picture, rng: random.Random) -> Picture:
    """Lay two pictures of one size over each other, with all objects of both (mixup, Zhang et al., 2018).

    The weights are near one half, so that both are visible.
    """
    weight = rng.betavariate(_WEIGHT, _WEIGHT)
    image = cv2.addWeighted(first.image, weight, second.image, 1 - weight, 0)
    return _with_all(np.asarray(image, dtype=np.uint8), [first, second])


def paste_objects(picture: Picture, donor: Picture, rng: random.Random) -> Picture:
    """Paste up to three objects of another picture, each with all that is in its box, where no object is.

    An object is shown at half to all of the size that it would have if its picture were resized to fit into
    this one. Objects that are difficult, or whose boxes show others, are not taken; nor is what finds no
    free place in twenty tries, or would have a side below four pixels.
    """
    image, (height, width) = picture.image.copy(), picture.size
    chosen = [i for i in range(len(donor.boxes)) if not donor.difficult[i] and _shown_alone(donor.boxes, i)]
    rng.shuffle(chosen)
    parts = [picture]
    fit = min(height / donor.size[0], width / donor.size[1])
    for i in chosen[:_MOST_PASTED]:
        x1, y1, x2, y2 = (float(value) for value in donor.boxes[i])
        scale = fit * rng.uniform(*_PASTED_SCALES)
        size = round((y2 - y1) * scale), round((x2 - x1) * scale)
        if min(size) < _LEAST_PASTED_SIDE:
            continue
        taken = np.concatenate([part.boxes for part in parts])
        place = _free_place(taken, size, picture.size, rng)
        if place is not None:
            left, top = place
            seen = _seen(donor.keep(np.arange(len(donor.boxes)) == i), (x1, y1, x2, y2), size)
            image[top : top + size[0], left : left + size[1]] = seen.image
            parts.append(seen._replace(boxes=seen.boxes + np.array([left, top, left, top])))
    return _with_all(image, parts)


def _shown_alone(boxes: NDArray[np.floating], index: int) -> bool:
    """Whether a box shows little of the other objects."""
    shared = _intersections(np.delete(boxes, index, axis=0), boxes[index])
    return bool((shared <= _MOST_OF_OTHERS * areas(boxes[index : index + 1])).all())


def _free_place(
    boxes: NDArray[np.floating], size: tuple[int, int], canvas: tuple[int, int], rng: random.Random
) -> tuple[int, int] | None:
    """``(left, top)`` of a rectangle in a canvas that touches no box."""
    for _ in range(_PLACES_TRIED):
        left, top = rng.randint(0, canvas[1] - size[1]), rng.randint(0, canvas[0] - size[0])
        place = np.array([left, top, left + size[1], top + size[0]])
        if not _intersections(boxes, place).any():
            return left, top
    return None


def _intersections(boxes: NDArray[np.floating], box: NDArray[np.floating]) -> NDArray[np.float64]:
    """Areas that ``(N, 4)`` boxes have in common with one ``(4,)``."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    return np.asarray(sides.clip(0).prod(axis=1), dtype=np.float64)
