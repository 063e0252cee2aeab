"""The index of a split: what its annotation files say and its images' headers, read once and kept on disk.

Parsing the 16,551 annotations of VOC 07+12 takes many seconds; reading them back from one JSON file takes a
fraction of one. An entry is trusted for as long as its annotation and its image are unchanged.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.formats.records import ObjectRecord
from detection.data.image_files import Header

FORMAT = 3  # raise it when an entry or a parsing rule changes: older caches are then ignored

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


class Index:
    """The entries of a split as they were when it was read last.

    Args:
        folder: the set.
        split: names the split in it.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._file = cache_file(folder, split)
        self._before = _read(self._file)
        self._now: dict[str, Entry] = {}

    def find(self, key: str) -> Entry | None:
        """The entry of an image, which may be out of date."""
        return self._before.get(key)

    def keep(self, key: str, entry: Entry) -> None:
        """Takes the entry of an image."""
        self._now[key] = entry

    def save(self) -> None:
        """Writes what was kept, if it is not what was read."""
        if self._now == self._before:
            return
        write_cache(self._file, {"format": FORMAT, "entries": self._now})


def cache_file(folder: Path, name: str) -> Path:
    """Where the user's cache keeps what is known of a set.

    Args:
        folder: the set.
        name: of what is kept.
    """
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{folder}\n{name}".encode()).hexdigest()[:16]
    return cache_home / "detection" / f"{folder.name}-{name.replace('/', '-')}-{key}.json"


def write_cache(path: Path, content: Any) -> None:
    """Writes what JSON can hold, whole or not at all."""
    # Several processes may write at once: each one writes its own file, and renaming is atomic.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
            json.dump(content, file)
        os.replace(file.name, path)
    except OSError:
        pass  # no place for a cache (read-only home, full disk): the next run reads the files again


def stamp_of(*paths: str) -> tuple[int, ...]:
    """The time of change, in ns, and the size, in bytes, of each file; zeros where there is none."""
    stamp: list[int] = []
    for path in paths:
        try:
            about = os.stat(path)
        except OSError:
            stamp += [0, 0]
        else:
            stamp += [about.st_mtime_ns, about.st_size]
    return tuple(stamp)


def _read(path: Path) -> dict[str, Entry]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            return {}
        return {key: _decode(entry) for key, entry in content["entries"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # absent, unreadable or damaged: it is rebuilt


def _decode(entry: list[Any]) -> Entry:
    image, ((height, width), orientation, mode), (filename, size, objects, remarks), stamp = entry
    return Entry(
        str(image),
        Header((int(height), int(width)), int(orientation), str(mode)),
        Annotation(
            str(filename),
            None if size is None else (int(size[0]), int(size[1])),
            tuple(
                ObjectRecord(
                    str(name), (float(x1), float(y1), float(x2), float(y2)), bool(difficult), int(number)
                )
                for name, (x1, y1, x2, y2), difficult, number in objects
            ),
            tuple((str(kind), str(message), number) for kind, message, number in remarks),
        ),
        tuple(stamp),
    )
