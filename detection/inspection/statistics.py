"""What a dataset holds: objects per class and split, and how large and how elongated they are."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.inspection.inspect import Inspection

SIDE_EDGES = (0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, float("inf"))
ASPECT_EDGES = (0.0, 1 / 5, 1 / 3, 1 / 2, 1 / 1.5, 1.0, 1.5, 2.0, 3.0, 5.0, float("inf"))


class Histogram(NamedTuple):
    """Numbers of values between edges; a value on an edge counts above it."""

    edges: tuple[float, ...]
    """One more than counts; the first may be 0 and the last infinite."""
    counts: tuple[int, ...]

    @property
    def labels(self) -> list[str]:
        """The bins, for people."""
        return [range_label(low, high) for low, high in pairwise(self.edges)]


class Statistics(NamedTuple):
    """Counts and shapes of the usable objects."""

    images: dict[str, int]
    """By split."""
    objects: dict[str, dict[str, int]]
    """By split and class, in label order."""
    images_with: dict[str, dict[str, int]]
    """Images that show a class, by split and class, in label order."""
    difficult: dict[str, int]
    """By split."""
    sides: NDArray[np.float64]
    """``(N,)``: square root of each box's area, in pixels of the file."""
    aspects: NDArray[np.float64]
    """``(N,)``: width / height."""


def compute_statistics(inspection: Inspection) -> Statistics:
    """Counts and measures the objects that can be learned from."""
    images = Counter(image.split for image in inspection.images)
    items = [(image.split, item) for image in inspection.images for item in image.record.objects]
    counts = Counter((split, item.name) for split, item in items)
    shown = Counter(
        (image.split, name)
        for image in inspection.images
        for name in {item.name for item in image.record.objects}
    )
    difficult = Counter(split for split, item in items if item.difficult)
    boxes = np.array([item.box for _, item in items], dtype=np.float64).reshape(-1, 4)
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return Statistics(
        {split: images[split] for split in inspection.splits},
        {split: {name: counts[split, name] for name in inspection.classes} for split in inspection.splits},
        {split: {name: shown[split, name] for name in inspection.classes} for split in inspection.splits},
        {split: difficult[split] for split in inspection.splits},
        np.sqrt(widths * heights),
        widths / heights,
    )


def histogram(values: NDArray[np.float64], edges: Sequence[float]) -> Histogram:
    """Counts values between edges."""
    counts, _ = np.histogram(values, bins=np.array(edges))
    return Histogram(tuple(edges), tuple(int(count) for count in counts))


def range_label(low: float, high: float) -> str:
    """A range, for people."""
    return (
        f"< {high:.3g}"
        if low == 0
        else f">= {low:.3g}"
        if high == float("inf")
        else f"{low:.3g} to {high:.3g}"
    )
