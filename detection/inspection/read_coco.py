"""A split in COCO's format, read leniently: what cannot be understood becomes a finding."""

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, TypeGuard

from detection.file_reading import MAX_JSON, read_text
from detection.inspection.records import Box, ImageRecord, ObjectRecord, Reading, shown

LISTS = ("images", "annotations", "categories")


def read_coco(root: Path, split: str, images: Path, annotations: Path) -> Reading:
    """Reads one annotation file.

    Args:
        root: findings name files relative to it.
        split: ``train``, ``val`` or ``test``.
        images: the folder that ``file_name`` is relative to.
        annotations: the JSON file.
    """
    reading = Reading(split, shown(annotations, root))
    document = _load(annotations, reading)
    if document is not None:
        categories = _read_categories(document["categories"], reading)
        # As in training, labels follow the order of the ids.
        reading.classes = tuple(categories[number] for number in sorted(categories))
        entries = _read_entries(document["images"], images, reading)
        objects = _read_objects(document["annotations"], entries, categories, reading)
        for image_id, entry in entries.items():
            reading.records.append(_record(entry, images, root, tuple(objects[image_id]), reading))
    return reading


def _load(path: Path, reading: Reading) -> dict[str, list[dict[str, Any]]] | None:
    if not path.exists():
        reading.add(
            "missing-list", reading.file, "does not exist: correct data.root or the annotation file's path"
        )
        return None
    try:
        document = json.loads(read_text(path, MAX_JSON))
    except (ValueError, RecursionError, OSError) as error:
        message = f"is not well-formed JSON ({error}): export it again or repair it"
        reading.add("broken-annotation", reading.file, message)
        return None
    lists: dict[str, list[dict[str, Any]]] = {}
    for key in LISTS:
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list):
            reading.add(
                "missing-tag", reading.file, f"has no list under {key!r}, as COCO's format asks: add it"
            )
            value = []
        lists[key] = [item for item in value if isinstance(item, dict)]
        if len(lists[key]) < len(value):
            message = (
                f"has {len(value) - len(lists[key])} entries under {key!r} that are not objects: remove them"
            )
            reading.add("broken-annotation", reading.file, message)
    return lists


def _read_categories(categories: list[dict[str, Any]], reading: Reading) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in categories:
        number, name = category.get("id"), category.get("name")
        if not _is_integer(number) or not isinstance(name, str) or not name.strip():
            message = f"category {category} needs an integer id and a name: add them"
            reading.add("missing-tag", reading.file, message)
        elif number in names:
            message = (
                f"gives the category id {number} to {names[number]!r} and {name!r}: make the ids distinct"
            )
            reading.add("listed-twice", reading.file, message)
        else:
            names[number] = name.strip()
    return names


def _read_entries(images: list[dict[str, Any]], folder: Path, reading: Reading) -> dict[Any, dict[str, Any]]:
    """The entries of images that can be told apart, by id."""
    entries: dict[Any, dict[str, Any]] = {}
    names: set[str] = set()
    for entry in images:
        image_id, name = entry.get("id"), entry.get("file_name")
        if not isinstance(name, str) or not (_is_integer(image_id) or isinstance(image_id, str)):
            reading.add("missing-tag", reading.file, f"image {entry} needs an id and a file_name: add them")
        elif image_id in entries or name in names:
            message = (
                f"image {name} (id {image_id}) is listed twice: merge the entries and their annotations, or "
            )
            reading.add("listed-twice", reading.file, f"{message}give each image its own id", name)
        else:
            entries[image_id] = entry
            names.add(name)
            if not (folder / name).is_file():
                message = (
                    f"image {name} is missing: there is no file {folder / name}. Add it, correct the folder "
                )
                reading.add("missing-image", reading.file, f"{message}of images, or remove the entry", name)
            if _declared_size(entry) is None:
                message = f"image {name} has no usable width and height, which training needs: add them"
                reading.add("missing-tag", reading.file, message, name)
    return entries


def _read_objects(
    annotations: list[dict[str, Any]],
    entries: dict[Any, dict[str, Any]],
    names: dict[int, str],
    reading: Reading,
) -> dict[Any, list[ObjectRecord]]:
    objects: dict[Any, list[ObjectRecord]] = defaultdict(list)
    seen: set[int] = set()
    for position, annotation in enumerate(annotations, 1):
        has_id = _is_integer(annotation.get("id"))
        number = annotation["id"] if has_id else position
        if has_id and number in seen:
            message = f"gives the annotation id {number} twice: make the ids distinct"
            reading.add("listed-twice", reading.file, message, number=number)
        seen.add(number)
        image_id = annotation.get("image_id")
        entry = entries.get(image_id) if isinstance(image_id, int | str) else None
        if entry is None:
            message = (
                f"annotation {number} is of image_id {image_id!r}, which is not under images: add the image "
            )
            reading.add("unknown-image", reading.file, f"{message}or remove the annotation", number=number)
            continue
        image, category = entry["file_name"], annotation.get("category_id")
        name = names.get(category) if isinstance(category, int) else None
        if name is None:
            message = f"annotation {number} of {image} has the unknown category_id {category!r}: "
            reading.add(
                "unknown-class", reading.file, f"{message}correct it, or add the category", image, number
            )
        written = annotation.get("bbox")
        box = _box(written)
        if box is None:
            kind = "missing-tag" if written is None else "bad-coordinate"
            message = (
                f"annotation {number} of {image} has the bbox {written!r} instead of four finite numbers "
            )
            reading.add(
                kind, reading.file, f"{message}(x, y, width, height): correct or remove it", image, number
            )
        crowd = annotation.get("iscrowd") == 1
        objects[image_id].append(ObjectRecord(number, name, box, f"{written} (x, y, width, height)", crowd))
    return objects


def _record(
    entry: dict[str, Any], folder: Path, root: Path, objects: tuple[ObjectRecord, ...], reading: Reading
) -> ImageRecord:
    path = folder / entry["file_name"]
    return ImageRecord(
        split=reading.split,
        image_id=Path(entry["file_name"]).with_suffix("").as_posix(),
        file=reading.file,
        image=path if path.is_file() else None,
        image_file=shown(path, root),
        objects=objects,
        declared_size=_declared_size(entry),
        upright=True,
    )


def _declared_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    if _is_integer(height) and _is_integer(width) and height > 0 and width > 0:
        return height, width
    return None


def _box(written: object) -> Box | None:
    if not isinstance(written, list) or len(written) != 4:
        return None
    values = [float(v) for v in written if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) < 4 or not all(map(math.isfinite, values)):
        return None
    x, y, width, height = values
    return x, y, x + width, y + height


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
