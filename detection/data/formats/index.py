"""The index of a split, read once and kept on disk, and the reading of very many files.

Parsing the 16,551 annotations of VOC 07+12 takes seconds; reading them back from one JSON file takes a
fraction of one. An entry is trusted for as long as its annotation and its image are unchanged.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from detection.data.formats.findings import Finding
from detection.data.formats.records import ObjectRecord
from detection.data.image_header import Header
from detection.system.files import cache_folder
from detection.system.processes import num_cores

_MANY = 4000  # files that take one process some seconds
_CHUNK = 250

_IN_A_PROCESS_OF_THE_POOL: list[Callable[[Any], Any]] = []
"""What it does with an item: sent once, not with each chunk."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_many(read: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Reads files, in several processes where there are many.

    Args:
        read: reads one; can be pickled. What it changes is lost, only what it returns counts.
        items: what it is given.

    Yields:
        What it returned for each, in their order.
    """
    if len(items) < _MANY:
        yield from map(read, items)
        return
    with ProcessPoolExecutor(num_cores(), initializer=_keep, initargs=(read,)) as pool:
        yield from pool.map(_apply, items, chunksize=_CHUNK)


def _keep(read: Callable[[Any], Any]) -> None:
    _IN_A_PROCESS_OF_THE_POOL.append(read)


def _apply(item: Any) -> Any:
    return _IN_A_PROCESS_OF_THE_POOL[0](item)


FORMAT = 6  # raise it when an entry or a parsing rule changes: older caches are then ignored

Remark = tuple[str, str, int | None]
"""The kind, the message and the object of a finding about one file."""


class Annotation(NamedTuple):
    """What one annotation file says, before anything is known of its image."""

    filename: str
    """The image that it names; empty if none."""
    size: tuple[int, int] | None
    """``(height, width)`` that it says; None if missing or zero."""
    objects: tuple[ObjectRecord, ...]
    """Those that could be read; their boxes are not compared with the image yet."""
    remarks: tuple[Remark, ...]
    """What is wrong with it."""


class Entry(NamedTuple):
    """One image of a split, with its annotation."""

    image: str
    """Name of the file, as its reader finds it."""
    header: Header
    annotation: Annotation
    stamp: tuple[int, ...]
    """See `stamp_of`."""


class _File(msgspec.Struct):
    format: int
    entries: dict[str, Entry]


class Index:
    """The entries of a split as they were when it was read last.

    Args:
        folder: the set.
        split: names the split in it.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._file = cache_file(folder, split)
        self._before = _read(self._file)

    def read(
        self,
        keys: Sequence[str],
        is_fresh: Callable[[str, Entry], bool],
        read: Callable[[str], Entry | Finding],
    ) -> Iterator[tuple[str, Entry | Finding]]:
        """Goes through images: what is known and unchanged comes from the index, the rest is read.

        Args:
            keys: of the images, each once.
            is_fresh: whether the entry of an image is up to date.
            read: reads one image, see `read_many`.

        Yields:
            Each key with its entry, or what is wrong with the whole image.
        """
        before = self._before
        known = {key: before[key] for key in keys if key in before and is_fresh(key, before[key])}
        unknown = [key for key in keys if key not in known]
        if not unknown and len(known) == len(before):
            yield from known.items()
            return
        fresh = read_many(read, unknown)
        now: dict[str, Entry] = {}
        for key in keys:
            entry: Entry | Finding = known[key] if key in known else next(fresh)
            if isinstance(entry, Entry):
                now[key] = entry
            yield key, entry
        if now != before:
            write_cache(self._file, _File(FORMAT, now))


def cache_file(folder: Path, name: str) -> Path:
    """Where the user's cache keeps what is known of a set.

    Args:
        folder: the set.
        name: of what is kept.
    """
    key = hashlib.sha256(os.fsencode(f"{folder}\n{name}")).hexdigest()[:16]
    return cache_folder() / f"{folder.name}-{name.replace('/', '-')}-{key}.json"


def write_cache(path: Path, content: Any) -> None:
    """Writes what JSON can hold, whole or not at all."""
    # Several processes may write at once: each one writes its own file, and renaming is atomic.
    try:
        written = msgspec.json.encode(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(written)
        os.replace(file.name, path)
    except (OSError, UnicodeEncodeError):
        # No place for a cache (a read-only home, a full disk), or names of files that are in no encoding: the
        # next run reads the files again.
        pass


def stamp_of(*paths: str) -> tuple[int, ...]:
    """The time of change, in ns, and the size, in bytes, of each file; zeros where there is none."""
    stamp: tuple[int, ...] = ()
    for path in paths:
        try:
            about = os.stat(path)
        except OSError:
            stamp += (0, 0)
        else:
            stamp += (about.st_mtime_ns, about.st_size)
    return stamp


def _read(path: Path) -> dict[str, Entry]:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError):
        return {}  # absent, of another format, unreadable or damaged: it is rebuilt
    return file.entries if file.format == FORMAT else {}
