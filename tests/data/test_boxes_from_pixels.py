"""Boxes against the pixels: rectangles from first to last pixel, as VOC has them, drawn and measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detection.data.chain import Picture
from detection.data.formats.voc import from_voc_corners
from detection.data.stepped import Step
from detection.data.transforms import (
    DetectionTransform,
    Transformed,
    faster_rcnn_eval_transform,
    faster_rcnn_train_transform,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.data.varied import VariedTransform

Floats = np.ndarray[Any, np.dtype[np.float64]]
GROUND, OBJECT = 64, 192  # so that what interpolation adds on both sides of an edge is not cut off
LEFT_HALF = 2  # channel in which the left half of the rectangle alone is painted
MARGIN = 4  # an edge nearer to the border may be cut


def measured(plane: Floats, box: Floats) -> Floats:
    """Edges of the rectangle in one channel, to fractions of a pixel; nan where an edge may be cut."""
    x1, y1, x2, y2 = box
    share = (plane - GROUND) / (OBJECT - GROUND)
    lines = share[int((y1 + y2) / 2)], share[:, int((x1 + x2) / 2)]
    edges = np.full(4, np.nan)
    for axis, line in enumerate(lines):
        middle = int((box[axis] + box[axis + 2]) / 2)
        if box[axis] > MARGIN:
            edges[axis] = middle - line[:middle].sum()
        if box[axis + 2] < len(line) - MARGIN:
            edges[axis + 2] = middle + line[middle:].sum()
    return edges


class Varied:
    """Makes samples of an image with the object and images without any."""

    def __init__(self, transform: DetectionTransform, pasted: bool = False) -> None:
        assert isinstance(transform, VariedTransform)
        self.transform, self.pasted = transform, pasted

    def seed(self, seed: int) -> None:
        self.number = seed

    def __call__(self, *fields: Any) -> Transformed:
        picture = Picture(*fields)
        blank = Picture(np.full((200, 240, 3), GROUND, np.uint8), *(field[:0] for field in fields[1:]))
        first, other = (blank, picture) if self.pasted else (picture, blank)
        return self.transform.sample(first, lambda _: other, self.number, Step(self.number, 0.0))


def errors(transform: DetectionTransform | Varied, count: int) -> dict[bool, Floats]:
    """Transformed box minus measured edges, ``(N, 4)``, by whether the image was mirrored."""
    rng = np.random.default_rng(0)
    found: dict[bool, list[Floats]] = {False: [], True: []}
    for seed in range(count):
        height, width = (int(side) for side in rng.integers(160, 330, 2))
        xmin, ymin = int(rng.integers(4, width - 70)), int(rng.integers(4, height - 70))
        xmax, ymax = int(rng.integers(xmin + 40, width - 4)), int(rng.integers(ymin + 40, height - 4))
        image = np.full((height, width, 3), GROUND, np.uint8)
        image[ymin - 1 : ymax, xmin - 1 : xmax] = OBJECT
        image[ymin - 1 : ymax, (xmin + xmax) // 2 : xmax, LEFT_HALF] = GROUND
        box = np.array([from_voc_corners((xmin, ymin, xmax, ymax))], np.float32)
        transform.seed(seed)
        out = transform(image, box, np.zeros(1, np.int64), np.zeros(1, np.bool_))
        if len(out.boxes) == 0 or (out.boxes[0, 2:] - out.boxes[0, :2]).min() < 12:
            continue
        planes, new = out.image.numpy().astype(np.float64), out.boxes[0].astype(np.float64)
        middle = int((new[0] + new[2]) / 2)
        row = planes[LEFT_HALF][int((new[1] + new[3]) / 2)]
        is_mirrored = row[middle + 2] > row[middle - 3]
        found[bool(is_mirrored)].append(new - measured(planes[0], new))
    return {mirrored: np.array(rows) for mirrored, rows in found.items() if rows}


FILL = (GROUND, GROUND, GROUND)


@pytest.mark.parametrize(
    ("make", "count", "mirrored"),
    [
        (lambda: ssd_train_transform(200, FILL, photometric=False), 1000, True),
        (lambda: faster_rcnn_train_transform([160, 260]), 1000, True),
        (lambda: ssd_eval_transform(200), 200, False),
        (lambda: ssd_eval_transform((150, 260), bilinear=True), 200, False),
        (lambda: faster_rcnn_eval_transform([240, 400], round_down=True), 200, False),
    ],
    ids=["ssd", "faster_rcnn", "ssd evaluated", "ssd evaluated as torchvision's", "faster_rcnn evaluated"],
)
def test_boxes_lie_on_the_edges_in_the_pixels(
    make: Callable[[], DetectionTransform], count: int, mirrored: bool
) -> None:
    by_side = errors(make(), count)
    check(by_side, count / 5, mirrored)


def check(by_side: dict[bool, Floats], fewest: float, mirrored: bool) -> None:
    assert set(by_side) == ({False, True} if mirrored else {False})
    for rows in by_side.values():
        assert (np.isfinite(rows).sum(axis=0) > fewest).all()
        assert np.abs(np.nanmean(rows, axis=0)).max() < 0.05
        assert np.nanmax(np.abs(rows)) < 0.6


SSD: dict[str, Any] = {"fill": FILL, "photometric": False, "expand_probability": 0.0, "crop": False}


@pytest.mark.parametrize(
    ("make", "mirrored"),
    [
        (lambda: Varied(ssd_train_transform(300, **SSD, mosaic_probability=1)), True),
        (lambda: Varied(faster_rcnn_train_transform([240, 400], mosaic_probability=1)), True),
        (lambda: Varied(ssd_train_transform(300, **SSD, copy_paste_probability=1), pasted=True), False),
        (lambda: Varied(ssd_train_transform(200, **SSD, sizes=[120, 200, 310])), True),
        (lambda: Varied(faster_rcnn_train_transform([160, 260], sizes=[120, 230])), True),
        (lambda: Varied(ssd_train_transform(200, **SSD, tiles=120)), True),
    ],
    ids=["mosaic", "mosaic of faster_rcnn", "copy-paste", "sizes", "sizes of faster_rcnn", "tiles"],
)
def test_boxes_lie_on_the_edges_whatever_varies(make: Callable[[], Varied], mirrored: bool) -> None:
    # The mean of 200 is that of 50 of each kind, whose chance alone may reach 0.05 where images are enlarged.
    check(errors(make(), 800), 800 / 8, mirrored)
