"""Tiles of whole images, as `predict tiles=...` looks at them: exports are checked and measured on them."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detection.bounds import Overlap, Tiles
from detection.exporting.measurement import Detect
from detection.exporting.verification import Scene, spread
from detection.prediction.detector import Detector
from detection.prediction.views import Detect as DetectInImages
from detection.prediction.views import InViews, pixels_of

# Of one image, the whole among them: a large one has hundreds.
_CHECKED = 9


class InTiles:
    """Makes inputs of the network of whole images, for the network and for its files alike.

    Args:
        detector: prepares the inputs.
        tiles: see ``detection.bounds.Tiles``.
        overlap: share of a tile's side that it has in common with the next at least.
    """

    def __init__(self, detector: Detector, tiles: Tiles, overlap: Overlap) -> None:
        self.detector, self.tiles, self.overlap = detector, tiles, overlap

    def __call__(self, detect: Detect) -> Detect:
        """Make what detects in an input detect in a sample whose image is whole, one view after another."""
        in_tiles = self._look(lambda images: [detect(self.detector.prepare(image)) for image in images])
        return lambda sample: in_tiles([_pixels(sample.image)])[0]

    def scenes(self, whole: Iterable[Scene]) -> Iterator[Scene]:
        """Inputs of images: of each the whole and its tiles, spread over it where they are many."""
        for name, image in whole:
            pixels = _pixels(image)
            views = self._look(self.detector).views(pixels.shape[:2])
            for number in spread(_CHECKED, len(views)):
                left, top, _, _ = views[number].window
                shown = self.detector.prepare(pixels_of(pixels, views[number]))
                yield Scene(f"{name}, {left} {top}" if number else name, shown.image)

    def _look(self, detect: DetectInImages) -> InViews:
        size = self.detector.input_size
        return InViews(detect, size, self.tiles, self.overlap, flip=False, batch_size=1)


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of ``(3, H, W)``."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
