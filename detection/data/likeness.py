"""Images that look alike: copies, other sizes and encodings of a photograph, neighbouring frames of a video.

An image is described by 128 bits: whether each cell of a grid is brighter than its left, and its upper
neighbour (a difference hash). Of two images that look alike few bits differ.
"""

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from detection.data.formats.index import cache_file, stamp_of, write_cache
from detection.data.formats.records import ImageRecord
from detection.data.image_files import ImageError, decode_small

# Bits of 128 in which images of one group may differ; fewer where so many look alike that none could be set
# apart in proportion, as in the frames of one camera that does not move. Of the 5,011 images of VOC 2007
# trainval, four pairs differ in 10 or fewer, all of them copies; 12 bits take the first pair of others.
DIFFERING = (10, 4, 0)

_BITS = 128
_CELLS = 9
_FORMAT = 1  # of the cache; raise it when the bits change
# What Roboflow writes behind the name of an image, of which it may export several augmented copies.
_COPY = re.compile(r"\.rf\.[0-9A-Za-z]+(\.\w+)?$")
_FEW = 2000  # images that are looked at in a few seconds
_ROWS = 1024  # compared with all others at once


def look(record: ImageRecord) -> str:
    """The bits of an image as 32 hexadecimal digits; empty if it cannot be decoded."""
    try:
        grid = decode_small(record.path, record.size, _CELLS)
    except ImageError:
        return ""
    across = grid[:-1, 1:] > grid[:-1, :-1]
    down = grid[1:, :-1] > grid[:-1, :-1]
    return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes().hex()


def look_at(records: Sequence[ImageRecord], root: Path) -> list[str]:
    """The bits of each image; those of images that were seen before are read from the user's cache.

    Args:
        records: the images.
        root: names the cache.
    """
    file = cache_file(root.resolve(), "looks")
    known = _read_known(file)
    stamps = {record.file: list(stamp_of(record.file)) for record in records}
    new = [record for record in records if known.get(record.file, ("", []))[1] != stamps[record.file]]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter's lock
        found = track(
            pool.map(look, new), "Looking for images that are alike", len(new), disable=len(new) < _FEW
        )
        looks = dict(zip((record.file for record in new), found, strict=True))
    entries = {path: (looks[path] if path in looks else known[path][0], stamps[path]) for path in stamps}
    if looks:
        write_cache(file, {"format": _FORMAT, "looks": entries})
    return [entries[record.file][0] for record in records]


def _read_known(file: Path) -> dict[str, tuple[str, list[int]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return {}
        return {path: (str(look), list(stamp)) for path, (look, stamp) in content["looks"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # absent, unreadable or damaged: the images are looked at again


def group_alike(names: Sequence[str], looks: Sequence[str], differing: int) -> list[list[str]]:
    """Puts images that look alike, and those that look like them, into one group, and a tool's copies.

    Args:
        names: of N images, different from each other.
        looks: of each, see `look`; images without are like no other.
        differing: so many bits may differ.

    Returns:
        The names in groups.
    """
    labels = _label_alike(looks, differing)
    copies: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        copies.setdefault(_COPY.sub("", name), []).append(row)
    for rows in copies.values():
        _join(labels, labels[rows])
    groups: dict[int, list[str]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(name)
    return list(groups.values())


def _label_alike(looks: Sequence[str], differing: int) -> NDArray[np.int64]:
    labels = np.arange(len(looks))
    seen = np.flatnonzero([bool(bits) for bits in looks])
    content = bytes.fromhex("".join(looks))
    bits = np.unpackbits(np.frombuffer(content, np.uint8)).reshape(len(seen), _BITS)
    signs = bits.astype(np.float32) * 2 - 1
    for start in range(0, len(seen), _ROWS):
        # Equal bits minus different ones: exact, since these are small whole numbers.
        alike = signs[start : start + _ROWS] @ signs.T >= _BITS - 2 * differing
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            _join(labels, labels[seen[alike[row]]])
    return labels


def _join(labels: NDArray[np.int64], some: NDArray[np.int64]) -> None:
    """Makes one group of those that have some labels, in place."""
    joined = np.unique(some)
    if len(joined) > 1:
        labels[np.isin(labels, joined)] = joined[0]
