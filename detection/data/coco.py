"""COCO's format as a dataset: a folder of images and one JSON file of annotations."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.records import AnnotationError, Box, ImageRecord, ObjectRecord, cut_at_borders, report

# Two images of COCO's own training set have one box without height each (bbox [x, y, w, 0]); there is nothing
# a user could correct, so these are passed over. Any other empty box is an error.
KNOWN_EMPTY_BOXES = ("000000200365.jpg", "000000550395.jpg")
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
    ) -> None:
        records, names = read_coco(images, annotations)
        num_crowd = sum(item.difficult for record in records for item in record.objects)
        if not crowd:
            records = [
                record._replace(objects=tuple(item for item in record.objects if not item.difficult))
                for record in records
            ]
        wanted = names if classes is None else classes
        super().__init__(records, wanted, transform, other_classes, upright=True)
        if num_crowd and not crowd:
            self.notes.append(f"{num_crowd} crowd regions (iscrowd) are not trained on")


def read_coco(images: Path | str, annotations: Path | str) -> tuple[list[ImageRecord], list[str]]:
    """Reads a COCO annotation file.

    Args:
        images: the folder that ``file_name`` is relative to.
        annotations: the JSON file.

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
    entries = _image_entries(document["images"], folder, path)
    objects: dict[Any, list[ObjectRecord]] = {image_id: [] for image_id in entries}
    problems = []
    written = document["annotations"]
    for annotation in track(written, f"Reading {path.name}", disable=len(written) < _FEW):
        try:
            item = _parse_annotation(annotation, entries, names, path)
        except AnnotationError as error:
            problems.append(str(error))
            continue
        if item is not None:
            objects[annotation["image_id"]].append(item)
    if problems:
        raise ValueError(report(problems, f"the annotations of {path}"))
    records = [
        ImageRecord(
            str(image_id),
            folder / entry["file_name"],
            (entry["height"], entry["width"]),
            tuple(objects[image_id]),
            f"{path.name}: image {entry['file_name']}",
        )
        for image_id, entry in entries.items()
    ]
    return records, list(names.values())


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.json"))[:10]) or "none"
        raise FileNotFoundError(
            f"{path} does not exist; JSON files in that folder: {there}. Correct data.root or the path of "
            "the annotation file (data.train_annotations, data.val_annotations)"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
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


def _image_entries(images: list[dict[str, Any]], folder: Path, path: Path) -> dict[Any, dict[str, Any]]:
    entries: dict[Any, dict[str, Any]] = {}
    problems, file_names = [], set()
    for entry in images:
        image_id, file_name = entry.get("id"), entry.get("file_name")
        who = f"{path}: image {file_name} (id {image_id})"
        if not isinstance(file_name, str) or not (_is_integer(image_id) or isinstance(image_id, str)):
            problems.append(f"{path}: image {entry} needs an id and a file_name: add them")
        elif not all(_is_integer(entry.get(key)) and entry[key] > 0 for key in ("width", "height")):
            problems.append(f"{who} needs its width and height in pixels: add them or export the file again")
        elif image_id in entries:
            other = entries[image_id]["file_name"]
            problems.append(f"{who} has the id of {other}: give each image its own id")
        elif file_name in file_names:
            problems.append(f"{who} is listed twice: merge the two images and their annotations")
        elif not (folder / file_name).is_file():
            problems.append(
                f"{who} is missing: there is no file {folder / file_name}; correct the folder "
                "(data.train_images, data.val_images), add the file, or remove the image from the JSON"
            )
        else:
            entries[image_id] = entry
            file_names.add(file_name)
    if problems:
        raise ValueError(report(problems, f"the images of {path}"))
    return entries


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


def _numbers(written: object, who: str) -> Box:
    if isinstance(written, list) and len(written) == 4:
        numbers = [value for value in written if isinstance(value, int | float) and math.isfinite(value)]
        if len(numbers) == 4:
            x, y, width, height = map(float, numbers)
            return x, y, width, height
    raise AnnotationError(
        f"{who} has the bbox {written!r} instead of four numbers (x, y, width, height): add the box or "
        "remove the annotation"
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
