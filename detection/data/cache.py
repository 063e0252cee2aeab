"""Decoded images, kept in memory or on disk for all processes of a machine (``data.cache``).

Each image is a file of its own, in a folder in the machine's shared memory or on a disk, written by whichever
process decodes it first. So there is one copy of it however many loaders read it, a run that was cut off
leaves only whole images, and other runs on the same images find them decoded. Images keep the size that they
have in their files, for training cuts other parts out of them every time.
"""

import atexit
import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detection.data.dataset import DetectionDataset
from detection.data.image_files import decode_image
from detection.system.files import cache_folder
from detection.system.processes import available_memory

Cache = Literal["none", "ram", "disk"]
"""Where decoded images are kept."""

SHARED_MEMORY = Path("/dev/shm")
_HEADER = np.dtype(
    [("version", "i8"), ("modified", "i8"), ("bytes", "i8"), ("height", "i8"), ("width", "i8")]
)
_VERSION = 2  # raise it when the same file would be decoded to other pixels
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)


class CacheError(OSError):
    """Decoded images cannot be kept; the message names the folder and the remedy."""


class ImageCache:
    """Decodes images once; to be used in place of ``decode_image``.

    An image that changes is decoded anew: what is kept belongs to a time of change and a length of its file.

    Args:
        folder: where the decoded images are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: Path, upright: bool) -> NDArray[np.uint8]:
        """Reads an image, or else decodes and keeps it.

        Args:
            path: the image.
            upright: see ``decode_image``.

        Returns:
            uint8 RGB ``(H, W, 3)``.

        Raises:
            ImageError: the image cannot be decoded.
            CacheError: it cannot be kept.
        """
        try:
            about = path.stat()
        except OSError:
            return decode_image(path, upright)  # which says what is wrong
        state = (_VERSION, about.st_mtime_ns, about.st_size)
        kept = self._place(path, upright)
        image = _read(kept, state)
        if image is None:
            image = decode_image(path, upright)
            _write(kept, state, image)
        return image

    def missing_bytes(self, dataset: DetectionDataset) -> dict[Path, int]:
        """Memory that each image of a dataset will take which is not there yet."""
        places = [
            self._place(Path(path), bool(upright))
            for path, upright in zip(dataset.paths, dataset.upright, strict=False)
        ]
        return {
            place: 3 * height * width
            for place, (height, width) in zip(places, dataset.sizes, strict=True)
            if not place.exists()
        }

    def _place(self, path: Path, upright: bool) -> Path:
        content = os.fsencode(f"{path.absolute()} {upright}")
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        return self.folder / name[:2] / name[2:]


def _read(place: Path, state: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    try:
        with place.open("rb") as file:
            header = np.fromfile(file, _HEADER, 1)
            if len(header) != 1 or tuple(header[0])[:3] != state:
                return None
            height, width = int(header[0]["height"]), int(header[0]["width"])
            pixels = np.fromfile(file, np.uint8, 3 * height * width)
    except FileNotFoundError:
        return None
    return pixels.reshape(height, width, 3) if len(pixels) == 3 * height * width else None


def _write(place: Path, state: tuple[int, int, int], image: NDArray[np.uint8]) -> None:
    unfinished = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(np.array([(*state, *image.shape[:2])], _HEADER).tobytes())
            file.write(np.ascontiguousarray(image).data)
        unfinished.replace(place)  # other processes see the whole image or none
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        why = "is full" if error.errno in _FULL else f"cannot be written ({error.strerror})"
        raise CacheError(
            f"The folder of decoded images, {place.parent.parent}, {why}: make room, or take data.cache=disk "
            "with data.cache_folder on a larger disk, or data.cache=none"
        ) from error


def open_cache(
    kind: Literal["ram", "disk"], folder: str | None, datasets: Sequence[DetectionDataset]
) -> tuple[ImageCache, str]:
    """Prepares a cache for datasets, which fills as their images are read.

    Args:
        kind: ``ram`` keeps the images until no process of this user needs them any more, ``disk`` for good.
        folder: where to, with ``disk``; None takes the user's folder for caches.
        datasets: what is to be kept. An image of several of them is kept once.

    Returns:
        The cache, and a line about its size.

    Raises:
        CacheError: there is not enough room, or the folder cannot be used.
    """
    place = _shared_folder() if kind == "ram" else _disk_folder(folder)
    cache = ImageCache(place)
    missing: dict[Path, int] = {}
    for dataset in datasets:
        missing.update(cache.missing_bytes(dataset))
    needed, free = sum(missing.values()), _free_bytes(place, kind)
    line = (
        f"data.cache={kind}: {len(missing):,} images not decoded yet need {_gigabytes(needed)} "
        f"in {place}, where {_gigabytes(free)} are free"
    )
    if needed > free:
        other = "data.cache_folder on a larger disk" if kind == "disk" else "data.cache=disk"
        raise CacheError(f"{line}: take {other}, or data.cache=none")
    return cache, line


def _disk_folder(folder: str | None) -> Path:
    place = Path(folder).expanduser() if folder else cache_folder() / "images"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(f"data.cache_folder={place} cannot be made: {error.strerror}") from error
    return place


def _shared_folder() -> Path:
    """The user's folder in shared memory, locked until this process ends; the last one to end removes it."""
    if not SHARED_MEMORY.is_dir():
        raise CacheError(f"data.cache=ram needs {SHARED_MEMORY}, as Linux has: take data.cache=disk")
    import fcntl  # not on Windows, which has no shared memory of this kind

    place = SHARED_MEMORY / f"lightning-detection-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.lstat().st_uid != os.getuid():
        raise CacheError(
            f"{place} belongs to another user, who could change the images: take data.cache=disk"
        )
    lock = os.open(place / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    atexit.register(_remove_if_unused, place, lock, os.getpid())
    return place


def _remove_if_unused(place: Path, lock: int, owner: int) -> None:
    if os.getpid() != owner:  # a loader's worker, which leaves before the process that started it
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another run uses the images
    shutil.rmtree(place, ignore_errors=True)


def _free_bytes(place: Path, kind: Literal["ram", "disk"]) -> float:
    free = shutil.disk_usage(place).free
    return min(free, available_memory()) if kind == "ram" else free


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
