"""Detection in image files: reading runs ahead, the network computes, pictures are written behind."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.data.image_files import ImageError, decode_image
from detection.data.image_sources import ImageFile
from detection.prediction.ahead import one_ahead
from detection.prediction.output import picture_path
from detection.prediction.writing import Result, Skipped, save_picture
from detection.system.progress import Tracker
from detection.types import Detections

Images = Sequence[NDArray[np.uint8]]
_THREADS = min(8, os.cpu_count() or 1)


class Findings(NamedTuple):
    """What was found in many images."""

    results: list[Result]
    skipped: list[Skipped]
    seconds: float
    interrupted: bool
    """Whether Ctrl-C ended it before the last image."""


def predict_images(
    detect: Callable[[Images], list[Detections]],
    files: Sequence[ImageFile],
    batch_size: int,
    pictures: Path | None,
    class_names: Sequence[str],
) -> Findings:
    """Detect in image files. What cannot be read is skipped and named.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        files: what to read.
        batch_size: images in one call of ``detect``.
        pictures: the output folder, where pictures with boxes are written; None writes none.
        class_names: names by label.
    """
    results: list[Result] = []
    skipped: list[Skipped] = []
    batches = [files[first : first + batch_size] for first in range(0, len(files), batch_size)]
    interrupted = False
    with Tracker("images", len(files)) as progress, ThreadPoolExecutor(_THREADS) as pool:
        writing: list[Future[None]] = []
        try:
            with closing(one_ahead(list(pool.map(_read, batch)) for batch in batches)) as loaded:
                for batch, contents in zip(batches, loaded, strict=True):
                    images = [content for content in contents if not isinstance(content, str)]
                    found = iter(detect(images) if images else [])
                    _finish(writing)  # pictures of the batch before: no more than three batches are in memory
                    for file, content in zip(batch, contents, strict=True):
                        if isinstance(content, str):
                            skipped.append(Skipped(file.name, content))
                            continue
                        height, width = content.shape[:2]
                        result = Result(file, (height, width), next(found))
                        results.append(result)
                        if pictures is not None:
                            path = picture_path(pictures, file.name)
                            writing.append(
                                pool.submit(save_picture, path, content, result.detections, class_names)
                            )
                    progress.advance(len(batch))
        except KeyboardInterrupt:
            interrupted = True
        _finish(writing)
        return Findings(results, skipped, progress.seconds, interrupted)


def _read(file: ImageFile) -> NDArray[np.uint8] | str:
    """The image, or why it cannot be read."""
    try:
        return decode_image(file.path, upright=True)
    except ImageError as error:
        return error.reason


def _finish(writing: list[Future[None]]) -> None:
    for future in writing:
        future.result()
    writing.clear()
