"""COCO's format as a dataset: a folder of images and one JSON file of annotations."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import track

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.records import (
    AnnotationError,
    Box,
    ImageRecord,
    ObjectRecord,
    OnError,
    cut_at_borders,
    settle,
)
from detection.file_reading import MAX_JSON, read_text

# Two images of COCO's own training set have one box without height each (bbox [x, y, w, 0]); there is nothing
# a user could correct, so these are passed over. Any other empty box is an error.
KNOWN_EMPTY_BOXES = ("000000200365.jpg", "000000550395.jpg")
_HUGE = 1e9  # pixels; also false for NaN
_SIDE = 1 << 20  # pixels; no image is wider
_FEW = 100_000  # annotations that are read in about a second
_LISTS = ("images", "annotations", "categories")


class COCODetection(DetectionDataset):
    """Images and boxes of one COCO annotation file, read and checked when the dataset is made.

    Labels follow the order of the category ids, whatever their numbers; an image is named by its id.
    Boxes belong to images as they are shown: EXIF orientations are heeded.

    Regions with ``iscrowd`` hold many objects under one box. They become ``difficult`` objects, which the
    metric ignores. They are nothing to train on: give ``crowd=False`` for training data.

    Args:
        images: the folder that ``file_name`` is relative to.
        annotations: the JSON file.
        classes: names in the order of the labels; None takes all categories.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        crowd: keep crowd regions, as difficult objects.
        on_error: what becomes of images that are missing or have a wrong annotation: ``raise`` or ``skip``.

    Raises:
        FileNotFoundError: the folder or the file is missing.
        ValueError: the file is not COCO's format, an image is missing or listed twice, or an annotation is
            wrong.
    """

    def __init__(
        self,
        images: Path | str,
        annotations: Path | str,
        classes: Sequence[str] | None = None,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        crowd: bool = True,
        on_error: OnError = "raise",
    ) -> None:
        skipped: list[str] = []
        records, names = read_coco(images, annotations, skipped if on_error == "skip" else None)
        num_crowd = sum(item.difficult for record in records for item in record.objects)
        if not crowd:
            records = [
                record._replace(objects=tuple(item for item in record.objects if not item.difficult))
                for record in records
            ]
        wanted = names if classes is None else classes
        super().__init__(records, wanted, transform, other_classes, upright=True, problems=skipped)
        if num_crowd and not crowd:
            self.notes.append(f"{num_crowd} crowd regions (iscrowd) are not trained on")


def read_coco(
    images: Path | str, annotations: Path | str, skipped: list[str] | None = None
) -> tuple[list[ImageRecord], list[str]]:
    """Reads a COCO annotation file.

    Args:
        images: the folder that ``file_name`` is relative to.
        annotations: the JSON file.
        skipped: leave out images that are missing or have a wrong annotation, and append here what is wrong;
            None refuses them. An image goes as a whole: the rest of it would show an object as background.

    Returns:
        The images, and the names of the categories in the order of their ids.

    Raises:
        FileNotFoundError: the folder or the file is missing.
        ValueError: the file is not COCO's format, an image is missing or listed twice, or an annotation is
            wrong.
    """
    folder, path = Path(images).expanduser(), Path(annotations).expanduser()
    document = _load(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: it should be the folder with the images of {path}")
    names = _category_names(document["categories"], path)
    entries, bad_images = _image_entries(document["images"], folder, path)
    settle(bad_images, f"the images of {path}", len(document["images"]), skipped)
    objects: dict[Any, list[ObjectRecord]] = {image_id: [] for image_id in entries}
    # Of two images with one id, nobody knows which the annotations are of.
    ids = Counter(_id(entry) for entry in document["images"])
    gone = {image_id for image_id, count in ids.items() if image_id not in entries or count > 1}
    wrong: set[int | str | None] = set()
    problems = []
    written = document["annotations"]
    for annotation in track(written, f"Reading {escape(path.name)}", disable=len(written) < _FEW):
        image_id = _id(annotation, "image_id")
        if image_id in gone:
            continue
        try:
            item = _parse_annotation(annotation, entries, names, path)
        except AnnotationError as error:
            problems.append(str(error))
            wrong.add(image_id)
            continue
        if item is not None:
            objects[image_id].append(item)
    gone |= wrong
    some_are_left = bool(entries.keys() - gone)
    settle(problems, f"the annotations of {path}", len(problems) + some_are_left, skipped)
    records = [
        ImageRecord(
            str(image_id),
            folder / entry["file_name"],
            (entry["height"], entry["width"]),
            tuple(objects[image_id]),
            f"{path.name}: image {entry['file_name']}",
        )
        for image_id, entry in entries.items()
        if image_id not in gone
    ]
    return records, list(names.values())


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.json"))[:10]) or "none"
        raise FileNotFoundError(
            f"{path} does not exist; JSON files in that folder: {there}. Correct data.root or the path of "
            "the annotation file (data.train_annotations, data.val_annotations)"
        )
    try:
        document = json.loads(read_text(path, MAX_JSON))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not well-formed JSON ({error}): export it again or repair it") from error
    missing = [key for key in _LISTS if not _is_list_of_dicts(document, key)]
    if missing:
        raise ValueError(
            f"{path} is not a COCO annotation file: it has no list of objects under {', '.join(missing)}. "
            "Detection results and captions are other formats: choose the file of instances"
        )
    if not document["images"]:
        raise ValueError(f"{path} lists no images: choose another file or export it again")
    return dict(document)


def _is_list_of_dicts(document: object, key: str) -> bool:
    value = document.get(key) if isinstance(document, dict) else None
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _category_names(categories: list[dict[str, Any]], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in categories:
        number, name = category.get("id"), category.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: category {category} needs an integer id and a name: add them")
        if number in names:
            raise ValueError(f"{path}: the category id {number} is given twice: make the ids distinct")
        names[number] = name.strip()
    name, count = Counter(name.casefold() for name in names.values()).most_common(1)[0] if names else ("", 0)
    if count != 1:
        raise ValueError(
            f"{path}: {count} categories have the name {name!r}: make the names distinct, regardless of case"
            if count
            else f"{path} has no categories: list the classes under categories"
        )
    return dict(sorted(names.items()))


def _image_entries(
    images: list[dict[str, Any]], folder: Path, path: Path
) -> tuple[dict[Any, dict[str, Any]], list[str]]:
    """Returns the images by id, and what is wrong with the others."""
    entries: dict[Any, dict[str, Any]] = {}
    problems, file_names = [], set()
    for entry in images:
        image_id, file_name = entry.get("id"), entry.get("file_name")
        who = f"{path}: image {file_name} (id {image_id})"
        if not isinstance(file_name, str) or not (_is_integer(image_id) or isinstance(image_id, str)):
            problems.append(f"{path}: image {entry} needs an id and a file_name: add them")
        elif not all(_is_integer(entry.get(key)) and 0 < entry[key] < _SIDE for key in ("width", "height")):
            problems.append(f"{who} needs its width and height in pixels: add them or export the file again")
        elif image_id in entries:
            other = entries[image_id]["file_name"]
            problems.append(f"{who} has the id of {other}: give each image its own id")
        elif file_name in file_names:
            problems.append(f"{who} is listed twice: merge the two images and their annotations")
        elif os.path.isabs(file_name) or ".." in Path(file_name).parts or "\0" in file_name:
            problems.append(f"{who} is not inside of {folder}: correct its file_name")
        elif not (folder / file_name).is_file():
            problems.append(
                f"{who} is missing: there is no file {folder / file_name}; correct the folder "
                "(data.train_images, data.val_images), add the file, or remove the image from the JSON"
            )
        else:
            entries[image_id] = entry
            file_names.add(file_name)
    return entries, problems


def _id(entry: dict[str, Any], key: str = "id") -> int | str | None:
    value = entry.get(key)
    return value if isinstance(value, int | str) else None


def _parse_annotation(
    annotation: dict[str, Any], entries: dict[Any, dict[str, Any]], names: dict[int, str], path: Path
) -> ObjectRecord | None:
    who = f"{path}: annotation {annotation.get('id')}"
    image_id = annotation.get("image_id")
    entry = entries.get(image_id) if isinstance(image_id, int | str) else None
    if entry is None:
        raise AnnotationError(
            f"{who} is of image_id {image_id!r}, which is not under images: add the image or "
            "remove the annotation"
        )
    who = f"{who} of image {entry['file_name']}"
    number = annotation.get("category_id")
    name = names.get(number) if isinstance(number, int) else None
    if name is None:
        known = ", ".join(f"{key} {value}" for key, value in list(names.items())[:10])
        raise AnnotationError(
            f"{who} has the unknown category_id {number!r}: correct it or add the "
            f"category; the categories are: {known}{', ...' if len(names) > 10 else ''}"
        )
    crowd = annotation.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise AnnotationError(f"{who} has iscrowd {crowd!r}: set it to 0 or 1")
    written = annotation.get("bbox")
    x, y, width, height = _numbers(written, who)
    if width <= 0 or height <= 0:
        if Path(entry["file_name"]).name[-16:] in KNOWN_EMPTY_BOXES:
            return None
        raise AnnotationError(
            f"{who} has the empty box {written} (x, y, width, height): correct it or remove the annotation"
        )
    box = cut_at_borders((x, y, x + width, y + height), (entry["height"], entry["width"]))
    if box is None:
        raise AnnotationError(
            f"{who} has the box {written} (x, y, width, height), which lies outside its image of "
            f"{entry['width']}x{entry['height']} pixels: correct the box or remove the annotation"
        )
    return ObjectRecord(name, box, bool(crowd))


def _numbers(written: Any, who: str) -> Box:
    is_list = isinstance(written, list) and len(written) == 4
    if is_list and all(isinstance(value, int | float) and abs(value) < _HUGE for value in written):
        x, y, width, height = map(float, written)
        return x, y, width, height
    raise AnnotationError(
        f"{who} has the bbox {written!r} instead of four numbers (x, y, width, height): add the box or "
        "remove the annotation"
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
