"""COCO's JSON file: its categories, and the boxes around its segmentations."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from detection.data.formats.outlines import rotation_in
from detection.data.formats.records import Box, Reading
from detection.data.formats.unrecognised import another_json
from detection.system.collector import no_collections
from detection.system.file_reading import MAX_JSON, read_file_bytes, read_text
from detection.system.wording import folded

_SIDE = 1 << 20  # pixels; no image is wider


# What is read of the JSON file: the rest of it, most of the file, never becomes Python objects. Values are
# judged one by one, so that a message can name what is wrong. No field of them can make a circle, so the
# garbage collector need not look at them (gc=False).
class ImageEntry(msgspec.Struct, gc=False):
    """An object under ``images``."""

    id: Any = None
    file_name: Any = None
    height: Any = None
    width: Any = None


class AnnotationEntry(msgspec.Struct, gc=False):
    """An object under ``annotations``."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    iscrowd: Any = 0
    bbox: Any = None
    area: Any = None
    attributes: Any = None


class OutlinedEntry(AnnotationEntry, gc=False):
    """One with its polygons or its mask, which are most of a file: they are read where a box is missing."""

    segmentation: Any = None


class Document(msgspec.Struct):
    """The JSON file."""

    images: list[ImageEntry]
    annotations: list[AnnotationEntry]
    categories: list[dict[str, Any]]


class _OutlinedDocument(Document):
    annotations: list[OutlinedEntry]  # type: ignore[assignment]


def read_document(path: Path, reading: Reading) -> Document | None:
    """Reads the file; what is wrong with it as a whole is added to the reading."""
    if not path.exists():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.json"))[:10]) or "none"
        message = (
            f"does not exist; JSON files in that folder: {there}. Correct data.root or the path of the "
            "annotation "
        )
        reading.add("missing-list", path, f"{message}file (data.train_annotations, data.val_annotations)")
        return None
    try:
        with no_collections():
            document = _decode(path)
    except (ValueError, RecursionError, OSError) as error:
        reading.add(
            "broken-annotation", path, f"is not well-formed JSON ({error}): export it again or repair it"
        )
        return None
    if not isinstance(document, Document):
        message = (
            f"is not a COCO annotation file: it has no list of objects under {', '.join(document)}. "
            "Detection results and captions are other formats: choose the file of instances"
        )
        if another := another_json(path):
            message = f"is not a COCO annotation file. {another}"
        reading.add("broken-annotation", path, message)
        return None
    if not document.images:
        reading.add("empty-split", path, "lists no images: choose another file or export it again")
        return None
    return document


def _decode(path: Path) -> Document | list[str]:
    """The document, or the lists that it lacks.

    Raises:
        ValueError: the file is no JSON.
    """
    try:
        content = read_file_bytes(path, MAX_JSON)
        document = msgspec.json.decode(content, type=Document)
        if not all(
            annotation.bbox and not (annotation.attributes and rotation_in(annotation.attributes))
            for annotation in document.annotations
        ):
            document = msgspec.json.decode(content, type=_OutlinedDocument)
        return document
    except msgspec.DecodeError:
        # Python's own reader takes NaN and numbers of any length, which some tools write, and says in which
        # line a mistake is.
        written = json.loads(read_text(path, MAX_JSON))
    lacking = [key for key in Document.__struct_fields__ if not _is_list_of_dicts(written, key)]
    if lacking:
        return lacking
    annotations = [_entry(OutlinedEntry, item) for item in written["annotations"]]
    return Document(
        [_entry(ImageEntry, item) for item in written["images"]], annotations, written["categories"]
    )


def _entry(kind: type[Any], item: dict[str, Any]) -> Any:
    return kind(**{name: item[name] for name in kind.__struct_fields__ if name in item})


def _is_list_of_dicts(document: object, key: str) -> bool:
    value = document.get(key) if isinstance(document, dict) else None
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _without_root(document: Document, reading: Reading) -> list[dict[str, Any]]:
    """The categories without the one that Roboflow puts above all others, which no annotation has."""
    categories = document.categories
    above = [category.get("supercategory") for category in categories]
    roots = [category for category in categories if category.get("id") == 0 and category.get("name") in above]
    if not roots or any(annotation.category_id == 0 for annotation in document.annotations):
        return categories
    reading.notes.append(
        f"the category 0, {roots[0]['name']}, is above the others and has no objects: it is no class"
    )
    return [category for category in categories if category.get("id") != 0]


def read_categories(document: Document, reading: Reading) -> dict[int, str]:
    """Names by id, in the order of the ids."""
    categories = _without_root(document, reading)
    names: dict[int, str] = {}
    for category in categories:
        number, name = number_of(category.get("id")), category.get("name")
        name = str(name) if is_integer(name) else name
        if not is_integer(number) or not isinstance(name, str) or not name.strip():
            message = f"category {category} needs an integer id and a name: add them"
            reading.add("missing-tag", reading.file, message)
        elif number in names:
            message = f"category {name}: the category id {number} is given twice: make the ids distinct"
            reading.add("listed-twice", reading.file, message)
        else:
            names[number] = name.strip()
    for name, count in Counter(folded(name) for name in names.values()).items():
        if count > 1:
            message = (
                f"gives {count} categories the name {name!r}: make the names distinct, regardless of case"
            )
            message += ", or make them one category"
            reading.add("listed-twice", reading.file, message)
    if not categories:
        reading.add("missing-tag", reading.file, "has no categories: list the classes under categories")
    return dict(sorted(names.items()))


def number_of(written: Any) -> Any:
    """An id as a number where it is one in quotes, as VIA and other tools write some; else as it is."""
    if isinstance(written, str) and written.isascii() and written.isdigit() and len(written) < 16:
        return int(written) if str(int(written)) == written else written
    return written


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number, and not true or false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_side(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number of pixels; some tools write ``160.0``."""
    whole = is_integer(value) or (isinstance(value, float) and value.is_integer())
    return whole and 0 < value < _SIDE


def in_quotes(words: Sequence[str]) -> list[float] | None:
    """Numbers that stand in quotes, all of them; None if they are none."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def box_around(segmentation: Any) -> Box | None:
    """Returns the box around a segmentation; None if it is none.

    Args:
        segmentation: polygons, each a list of x and y in turns; or ``size``, height and width, and
            ``counts``, lengths of runs outside and inside of the mask in turns, down each column.
    """
    try:
        if isinstance(segmentation, dict):
            counts, (height, width) = segmentation["counts"], segmentation["size"]
            runs = _uncompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
            return _box_around_runs(runs, int(height)) if sum(runs) <= height * width else None
        xs = [float(x) for polygon in segmentation for x in polygon[::2]]
        ys = [float(y) for polygon in segmentation for y in polygon[1::2]]
        return (min(xs), min(ys), max(xs), max(ys)) if len(xs) >= 3 else None
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def _box_around_runs(runs: Sequence[int], height: int) -> Box | None:
    inside = [pair for number, pair in enumerate(pairwise(accumulate(runs, initial=0))) if number % 2]
    inside = [(start, end) for start, end in inside if end > start]
    if not inside:
        return None
    columns = [place // height for start, end in inside for place in (start, end - 1)]
    rows = [
        row
        for start, end in inside
        # A run that goes on in the next column touches the bottom and the top.
        for row in (
            (start % height, (end - 1) % height)
            if start // height == (end - 1) // height
            else (0, height - 1)
        )
    ]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def _uncompressed(text: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character; from the fourth on less the last but one."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs
