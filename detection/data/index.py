"""The index of a VOC folder: every annotation of one split, parsed once and cached on disk.

Parsing the 16,551 annotations of VOC 07+12 takes many seconds; reading them back from one JSON file
takes a fraction of one. An entry is trusted for as long as its XML and its image are unchanged.
"""

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.annotation import clip_to_image, parse_annotation
from detection.data.records import AnnotationError, ObjectRecord, read_size, settle
from detection.file_reading import is_inside, outside, read_text, unquoted_outside

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
FORMAT = 2  # raise it when an entry or a parsing rule changes: older caches are then ignored
SECOND_COLUMN = re.compile(r"\s+(-1|0|1)$")


class Entry(NamedTuple):
    """One annotated image of a split."""

    image: str
    """File name inside ``JPEGImages``."""
    size: tuple[int, int]
    """``(height, width)`` of the image on disk, without regard to EXIF."""
    objects: tuple[ObjectRecord, ...]
    """Clipped to the image; may be empty."""
    stamp: tuple[int, ...]
    """mtime in ns and size in bytes of the XML and of the image."""


def load_index(folder: Path, split: str, skipped: list[str] | None = None) -> dict[str, Entry]:
    """Reads the annotations of a split, from the cache where they did not change.

    Args:
        folder: a folder with ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``.
        split: a list in ``ImageSets/Main``, without ``.txt``.
        skipped: leave out images that cannot be used, and append here what is wrong with each; None refuses
            them.

    Returns:
        Entries by image id, in the order of the list.

    Raises:
        FileNotFoundError: the list is missing.
        ValueError: images or annotations are missing or wrong; the first ones are named.
    """
    folder = folder.resolve()
    list_file = folder / "ImageSets" / "Main" / f"{split}.txt"
    with unquoted_outside(list_file, folder):
        ids = read_image_ids(list_file)
    images = _list_images(folder / "JPEGImages")
    cache_file = _cache_file(folder, split)
    cached = _read_cache(cache_file)
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    quoting = is_inside(list_file, folder)
    for image_id in ids:
        entry = cached.get(image_id)
        try:
            if (
                entry is None
                or entry.image not in images
                or entry.stamp != _stamp(folder, image_id, entry.image)
            ):
                entry = _read_entry(folder, image_id, images)
            entries[image_id] = entry
        except (ValueError, OSError) as error:
            problems.append(str(error) if quoting else f"{list_file} has an entry that cannot be used")
    if problems and not quoting:
        problems[0] += f". {outside(list_file, folder)}"
    settle(problems, f"the images of {folder.name}/{split}", len(ids), skipped)
    if entries != cached:
        _write_cache(cache_file, entries)
    return entries


def read_image_ids(path: Path) -> list[str]:
    """Reads the image ids of an ``ImageSets/Main`` list.

    The lists per class have a second column (-1, 0 or 1), which is left out.

    Raises:
        FileNotFoundError: the list is missing; the message says which lists exist.
        ValueError: the list is not text, an id is listed twice, or none is.
    """
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        raise FileNotFoundError(f"{path} does not exist; the splits in that folder are: {known}")
    lines = (line.strip() for line in read_text(path).splitlines())
    ids = [SECOND_COLUMN.sub("", line) for line in lines if line]
    if not ids:
        raise ValueError(f"{path} lists no images")
    image_id, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path} lists the image {image_id} {count} times: remove the repeated lines")
    return ids


def _read_entry(folder: Path, image_id: str, images: set[str]) -> Entry:
    if "/" in image_id or "\\" in image_id:
        raise AnnotationError(
            f"{folder / 'ImageSets'} lists {image_id!r}: an id is the name of a file in Annotations, without "
            "a folder and an extension; correct the list"
        )
    path = folder / "Annotations" / f"{image_id}.xml"
    if not path.exists():
        hint = ""
        if Path(image_id).suffix.lower() in IMAGE_SUFFIXES:
            hint = " (ids are listed without an extension)"
        elif image_id.startswith("#"):
            hint = " (lists have no comments: every line is an id)"
        raise AnnotationError(
            f"{path} is missing: an image without objects needs an XML without <object>{hint}"
        )
    annotation = parse_annotation(path)
    image = _find_image(image_id, annotation.filename, images)
    if image is None:
        raise AnnotationError(
            f"{path} has no image: JPEGImages holds neither {image_id}.jpg (.jpeg, .png) nor "
            f"the <filename> {annotation.filename!r}"
        )
    size = read_size(folder / "JPEGImages" / image)
    return Entry(image, size, clip_to_image(annotation, size, path), _stamp(folder, image_id, image))


def _list_images(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: a VOC folder keeps its images there")
    return set(os.listdir(folder))


def _find_image(image_id: str, filename: str, images: set[str]) -> str | None:
    # Only names that were listed are accepted, so no annotation can point outside JPEGImages.
    suffixes = [*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)]
    candidates = [
        *(image_id + suffix for suffix in suffixes),
        filename,
        *(filename + suffix for suffix in suffixes),
    ]
    return next((name for name in candidates if name in images), None)


def _stamp(folder: Path, image_id: str, image: str) -> tuple[int, ...]:
    xml = (folder / "Annotations" / f"{image_id}.xml").stat()
    picture = (folder / "JPEGImages" / image).stat()
    return xml.st_mtime_ns, xml.st_size, picture.st_mtime_ns, picture.st_size


def _cache_file(folder: Path, split: str) -> Path:
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{folder}\n{split}".encode()).hexdigest()[:16]
    return cache_home / "detection" / f"{folder.name}-{split}-{key}.json"


def _read_cache(path: Path) -> dict[str, Entry]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            return {}
        return {image_id: _decode(entry) for image_id, entry in content["entries"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # absent, unreadable or damaged: it is rebuilt


def _decode(entry: list[Any]) -> Entry:
    image, (height, width), objects, stamp = entry
    return Entry(
        str(image),
        (int(height), int(width)),
        tuple(
            ObjectRecord(str(name), (float(x1), float(y1), float(x2), float(y2)), bool(difficult))
            for name, (x1, y1, x2, y2), difficult in objects
        ),
        tuple(stamp),
    )


def _write_cache(path: Path, entries: dict[str, Entry]) -> None:
    # Several processes may write at once: each one writes its own file, and renaming is atomic.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
            json.dump({"format": FORMAT, "entries": entries}, file)
        os.replace(file.name, path)
    except OSError:
        pass  # no place for a cache (read-only home, full disk): the next run parses again
