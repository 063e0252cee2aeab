"""A detector that looks at an image in parts: tiles beside the whole image, and mirror images."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from detection.bounds import Overlap, Tiles
from detection.ops.merging import merge_views
from detection.ops.views import View, tile_size, tile_windows, views_of
from detection.types import Detections

Images = Sequence[NDArray[np.uint8]]
Detect = Callable[[Images], list[Detections]]


class InViews:
    """Detects in tiles and mirror images of each image, and merges what was found: `detection.ops.merging`.

    The whole image is always looked at, too, for what is larger than a tile. Tiles are parts of the image's
    own memory, and no more than ``batch_size`` inputs of the network exist at a time.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        input_size: ``(height, width)`` of the network's input, the size of ``auto`` tiles.
        tiles: see ``detection.bounds.Tiles``; None makes none.
        overlap: share of a tile's side that it has in common with the next at least.
        flip: whether to look at mirror images, too.
        batch_size: views at a time.
    """

    def __init__(
        self,
        detect: Detect,
        input_size: tuple[int, int],
        tiles: Tiles | None,
        overlap: Overlap,
        flip: bool,
        batch_size: int,
    ) -> None:
        self.detect, self.input_size = detect, input_size
        self.tiles, self.overlap, self.flip = tiles, overlap, flip
        self.batch_size = batch_size
        self.cut = 0
        """How many images had tiles: those that are no larger than one are looked at as a whole."""

    def __call__(self, images: Images) -> list[Detections]:
        """Detect in images, each ``(H, W, 3)`` RGB, of any size.

        Returns:
            Detections of each image, in its own pixels.
        """
        found: list[list[tuple[View, Detections]]] = [[] for _ in images]
        views = (
            (number, view) for number, image in enumerate(images) for view in self.views(image.shape[:2])
        )
        for batch in _batches(views, self.batch_size):
            shown = [pixels_of(images[number], view) for number, view in batch]
            for (number, view), detections in zip(batch, self.detect(shown), strict=True):
                found[number].append((view, detections))
        return [merge_views(of_image, image.shape[:2]) for of_image, image in zip(found, images, strict=True)]

    def views(self, size: tuple[int, int]) -> list[View]:
        """What is looked at of an image of ``(height, width)``."""
        if self.tiles is None:
            return views_of(size, [], self.flip)
        tile = tile_size(size, self.tiles, self.input_size, self.overlap)
        windows = tile_windows(size, tile, self.overlap)
        self.cut += len(windows) > 1
        return views_of(size, windows, self.flip)


def in_views(
    detect: Detect,
    input_size: tuple[int, int],
    tiles: Tiles | None,
    overlap: Overlap,
    flip: bool,
    batch_size: int,
) -> Detect:
    """Make a detector look at tiles and mirror images, see ``InViews``, where any are asked for."""
    if tiles is None and not flip:
        return detect
    return InViews(detect, input_size, tiles, overlap, flip, batch_size)


def pixels_of(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The part of an ``(H, W, 3)`` image that a view shows; not mirrored, it shares the image's memory."""
    left, top, right, bottom = view.window
    part = image[top:bottom, left:right]
    return np.ascontiguousarray(part[:, ::-1]) if view.mirrored else part


def _batches(views: Iterator[tuple[int, View]], size: int) -> Iterator[list[tuple[int, View]]]:
    while batch := list(islice(views, size)):
        yield batch
