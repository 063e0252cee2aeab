"""Tiles of whole images, as `predict tiles=...` looks at them, for what takes one input of the network."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detection.bounds import Overlap, Tiles
from detection.prediction.detector import Detector
from detection.prediction.views import Detect, InViews, pixels_of
from detection.types import Detections, Sample

DetectInInput = Callable[[Sample], Detections]
"""From an input, and the size of its original image in the target, to detections in original pixels."""


class InTiles:
    """Makes inputs of the network of whole images, for the network and for its files alike.

    Args:
        detector: prepares the inputs.
        tiles: see ``detection.bounds.Tiles``.
        overlap: share of a tile's side that it has in common with the next at least.
    """

    def __init__(self, detector: Detector, tiles: Tiles, overlap: Overlap) -> None:
        self.detector, self.tiles, self.overlap = detector, tiles, overlap

    def __call__(self, detect: DetectInInput) -> DetectInInput:
        """Make what detects in an input detect in a sample whose image is whole, one view after another."""
        in_tiles = self._look(lambda images: [detect(self.detector.prepare(image)) for image in images])
        return lambda sample: in_tiles([_pixels(sample.image)])[0]

    def inputs(self, image: Tensor, at_most: int) -> Iterator[tuple[str, Tensor]]:
        """Inputs of the network: the whole image, and its tiles, spread over it where they are many.

        Args:
            image: uint8 ``(3, H, W)``.
            at_most: so many inputs.

        Yields:
            Where each lies, ``left top`` in pixels, and nothing for the whole; the input.
        """
        pixels = _pixels(image)
        views = self._look(self.detector).views(pixels.shape[:2])
        for number in np.linspace(0, len(views) - 1, min(at_most, len(views))).round().astype(int):
            left, top, _, _ = views[number].window
            shown = self.detector.prepare(pixels_of(pixels, views[number]))
            yield f"{left} {top}" if number else "", shown.image

    def _look(self, detect: Detect) -> InViews:
        size = self.detector.input_size
        return InViews(detect, size, self.tiles, self.overlap, flip=False, batch_size=1)


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of ``(3, H, W)``."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
