"""Images on which an exported file is compared with the network it came from."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detection.data.dataset import DetectionDataset
from detection.data.image_files import decode_image
from detection.data.image_sources import ImageFiles, find_source
from detection.data.shape_drawing import draw_image

Prepare = Callable[[NDArray[np.uint8]], Tensor]
"""From an ``(H, W, 3)`` RGB image to the detector's uint8 input ``(3, h, w)``."""

# Of generated images, (height, width): lying, upright and square ones.
_SIZES = ((300, 400), (400, 300), (320, 320))
_PLAIN_COLOUR = (124, 116, 104)


class Scene(NamedTuple):
    """One input."""

    name: str
    image: Tensor
    """uint8 ``(3, h, w)``."""


def spread(count: int, total: int) -> list[int]:
    """At most ``count`` of the numbers below ``total``, evenly spread, the first and the last among them."""
    rows: list[int] = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
    return rows


def scenes_of_dataset(dataset: DetectionDataset, count: int) -> list[Scene]:
    """So many images of a set, spread over it. Its transform is the detector's."""
    return [Scene(dataset.image_ids[row], dataset[row].image) for row in spread(count, len(dataset))]


def scenes_of_files(source: str, count: int, prepare: Prepare) -> list[Scene]:
    """So many images of a folder or a pattern, spread over it.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: there is no image, or one cannot be read.
    """
    found = find_source(source)
    if not isinstance(found, ImageFiles):
        raise ValueError(f"images={source}: give an image, a folder of images or a quoted pattern.")
    files = [found.files[row] for row in spread(count, len(found.files))]
    return [Scene(file.name, prepare(decode_image(file.path, upright=True))) for file in files]


def generated_scenes(count: int, seed: int, prepare: Prepare) -> list[Scene]:
    """So many drawings of several sizes."""
    scenes = []
    for i in range(count):
        height, width = _SIZES[i % len(_SIZES)]
        drawing = draw_image(np.random.default_rng((seed, i)), max(height, width)).image
        scenes.append(Scene(f"generated {i + 1}", prepare(drawing[:height, :width])))
    return scenes


def plain_scene(prepare: Prepare) -> Scene:
    """A scene of one colour, in which a trained detector finds little or nothing."""
    return Scene("plain colour", prepare(np.full((*_SIZES[0], 3), _PLAIN_COLOUR, np.uint8)))
