"""A folder of generated photographs in VOC's layout: 500x375 JPEGs of some 80 kB with a few objects each."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.data.voc import VOC_CLASSES

HEIGHT, WIDTH = 375, 500
_OCTAVES = ((8, 40), (24, 25), (70, 15), (160, 16), (400, 16))
"""Cells across the picture, and grey levels of deviation: detail like a photograph's at every scale."""


@contextmanager
def photographs(count: int) -> Iterator[list[ImageRecord]]:
    """Writes pictures to a folder that lasts as long as the block.

    Args:
        count: number of pictures.
    """
    with tempfile.TemporaryDirectory(prefix="photographs-") as folder:
        rng = np.random.default_rng(0)
        yield [_write(Path(folder) / f"{number:04}.jpg", rng) for number in range(count)]


def _write(path: Path, rng: np.random.Generator) -> ImageRecord:
    image = np.full((HEIGHT, WIDTH, 3), 120, dtype=np.float32)
    for cells, deviation in _OCTAVES:
        noise = rng.normal(0, deviation, (max(2, cells * HEIGHT // WIDTH), cells, 3)).astype(np.float32)
        noise[..., 1:] = 0.7 * noise[..., :1] + 0.3 * noise[..., 1:]  # detail is mostly in the brightness
        image += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    objects = tuple(_draw(image, rng) for _ in range(rng.integers(1, 6)))
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return ImageRecord(path.stem, str(path), (HEIGHT, WIDTH), objects, f"annotation of {path.stem}")


def _draw(image: NDArray[np.float32], rng: np.random.Generator) -> ObjectRecord:
    width, height = (int(rng.integers(40, 7 * side // 10)) for side in (WIDTH, HEIGHT))
    x, y = int(rng.integers(0, WIDTH - width)), int(rng.integers(0, HEIGHT - height))
    centre, axes = (x + width // 2, y + height // 2), (width // 2, height // 2)
    shade = np.zeros_like(image)
    cv2.ellipse(shade, centre, axes, 0, 0, 360, rng.uniform(-80, 80, 3).tolist(), thickness=-1)
    image += shade
    name = VOC_CLASSES[int(rng.integers(len(VOC_CLASSES)))]
    return ObjectRecord(name, (x, y, x + width, y + height), difficult=False)
