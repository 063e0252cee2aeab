"""COCO's format: a folder of images and one JSON file of annotations."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict
from rich.markup import escape
from rich.progress import track

from detection.data.formats.coco_document import (
    AnnotationEntry,
    Document,
    ImageEntry,
    box_around,
    in_quotes,
    is_integer,
    is_side,
    number_of,
    read_categories,
    read_document,
)
from detection.data.formats.judging import find_another_rule, keep_inside
from detection.data.formats.outlines import box_around_turned, rotation_in
from detection.data.formats.places import FilesByName, find_images
from detection.data.formats.records import Box, ImageRecord, ObjectRecord, Reading
from detection.data.image_files import ImageError, read_header
from detection.system.collector import no_collections
from detection.system.wording import are, counted

# Two images of COCO's own training set have one box without height each (bbox [x, y, w, 0]); there is nothing
# a user could correct, so these are passed over. Any other empty box is an error.
KNOWN_EMPTY_BOXES = ("000000200365.jpg", "000000550395.jpg")
_HUGE = 1e9  # pixels; also false for NaN
_NUMBERS = {int, float}  # not bool, which is an int, too
_IDS = (int, str)
_SOME = 10  # of the images are looked for in each folder that may hold them
_FEW = 100_000  # annotations that are read in about a second


def read_coco(images: Path | str | None, annotations: Path | str, crowd: bool = True) -> Reading:
    """Reads a COCO annotation file.

    Images are named by their ids, and labels follow the order of the category ids, whatever their numbers.
    Boxes belong to images as they are shown: EXIF orientations are heeded.

    Args:
        images: the folder that ``file_name`` is relative to; None looks for it around the JSON file.
        annotations: the JSON file.
        crowd: keep regions with ``iscrowd``, which hold many objects under one box, as difficult objects.
    """
    path = Path(annotations).expanduser()
    reading = Reading(f"the images of {path}", str(path))
    document = read_document(path, reading)
    if document is None:
        return reading
    if images is None:
        some = document.images[:: max(1, len(document.images) // _SOME)]
        folder = find_images(path, [str(entry.file_name) for entry in some])
    else:
        folder = Path(images).expanduser()
    if not folder.is_dir():
        message = f"does not exist: it should be the folder with the images of {path}"
        reading.add("missing-list", folder, message)
        return reading
    names = read_categories(document, reading)
    reading.classes = tuple(names.values())
    reading.category_ids = {name: number for number, name in names.items()}
    with no_collections():
        _Reader(folder, path, names, reading).read(document, crowd)
    return reading


class _Reader:
    """Reads the images of one file and their objects."""

    def __init__(self, folder: Path, path: Path, names: dict[int, str], reading: Reading) -> None:
        self.folder, self.path, self.names, self.reading = folder, path, names, reading
        self.images: dict[Any, tuple[str, tuple[int, int]]] = {}
        """File name and size, by the ids of the images that can be used."""
        self.files = FilesByName(folder)
        self.objects: dict[Any, list[ObjectRecord]] = {}

    def read(self, document: Document, crowd: bool) -> None:
        """Adds all images to the reading; without ``crowd``, not their crowd regions."""
        file_names: set[str] = set()
        refused = {_id(entry.id) for entry in document.images if not self._read_image(entry, file_names)}
        self._read_objects(document.annotations, refused, crowd)
        self._find_another_rule()
        for image_id, (file_name, size) in self.images.items():
            objects = tuple(self.objects[image_id])
            file = str(self.folder / file_name)
            record = ImageRecord(
                str(image_id), file, size, objects, str(self.path), "annotation", upright=True
            )
            keep_inside(self.reading, record, _as_written)

    def _find_another_rule(self) -> None:
        items = [item for objects in self.objects.values() for item in objects]
        boxes = np.array([item.box for item in items], np.float64).reshape(-1, 4)
        counts = [len(objects) for objects in self.objects.values()]
        sizes = np.array([size for _, size in self.images.values()], np.float64).reshape(-1, 2)
        numbers = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
        find_another_rule(
            self.reading, boxes, numbers, sizes.repeat(counts, axis=0),
            lambda row: f"annotation {items[row].number}", "x, y, width, height",
        )  # fmt: skip

    def _read_image(self, entry: ImageEntry, file_names: set[str]) -> bool:
        image_id, file_name = _id(entry.id), entry.file_name
        who = f"image {file_name} (id {image_id})"

        def refuse(kind: str, message: str) -> bool:
            self.reading.add(kind, self.path, message, str(file_name if image_id is None else image_id))
            return False

        if not isinstance(file_name, str) or image_id is None:
            return refuse("missing-tag", f"image {asdict(entry)} needs an id and a file_name: add them")
        if image_id in self.images:
            other = self.images[image_id][0]
            return refuse("listed-twice", f"{who} has the id of {other}: give each image its own id")
        found = self.files.find(file_name)
        if found is None and (os.path.isabs(file_name) or ".." in Path(file_name).parts or "\0" in file_name):
            return refuse("missing-image", f"{who} is not inside of {self.folder}: correct its file_name")
        if found is None:
            message = (
                f"{who} is missing: there is no file {self.folder / file_name}; correct the folder "
                "(data.train_images, data.val_images), add the file, or remove the image from the JSON"
            )
            return refuse("missing-image", message)
        if found in file_names:
            return refuse(
                "listed-twice", f"{who} is listed twice: merge the two images and their annotations"
            )
        # Label Studio and others count from the folder above that of the images.
        if file_name not in (found, f"{self.folder.name}/{found}"):
            message = f"{who} is read from {found}, the file of that name here: correct its file_name"
            self.reading.add("filename-mismatch", self.path, message, str(image_id))
        file_name = found
        height, width = entry.height, entry.width
        if not height or not width:
            try:
                height, width = read_header(self.folder / file_name).size_of(upright=True)
            except ImageError as error:
                return refuse(error.kind, f"{who}: the file {error.reason}")
            message = f"{who} has no width and height: those of the file are taken; best add them"
            self.reading.add("missing-size", self.path, message, str(image_id))
        if not (is_side(height) and is_side(width)):
            return refuse(
                "missing-tag", f"{who} needs its width and height in pixels: correct them or leave them out"
            )
        file_names.add(file_name)
        self.images[image_id] = file_name, (int(height), int(width))
        self.objects[image_id] = []
        return True

    def _read_objects(self, annotations: list[AnnotationEntry], refused: set[Any], crowd: bool) -> None:
        seen: set[Any] = set()
        num_crowd = 0
        title = f"Reading {escape(self.path.name)}"
        count = len(annotations)
        annotations.reverse()  # each is forgotten as soon as it is read
        for position in track(range(1, count + 1), title, disable=count < _FEW):
            annotation = annotations.pop()
            image_id, number = _id(annotation.image_id), annotation.id
            if not is_integer(number):
                number = position
            elif number in seen:
                message = f"annotation {number}: its id is given twice; make the ids distinct"
                self.reading.add("duplicate-id", self.path, message, "", number)
            seen.add(number)
            if image_id in self.objects:
                # Of two images with one id, nobody knows which the annotations are of.
                item = self._read_object(annotation, number, image_id)
                if item is not None and item.difficult and not crowd:
                    num_crowd += 1
                elif item is not None:
                    self.objects[image_id].append(item)
            elif image_id not in refused:
                message = (
                    f"annotation {number} is of image_id {annotation.image_id!r}, which is not under "
                    "images: add the image or remove the annotation"
                )
                self.reading.add("unknown-image", self.path, message, "", number)

        if num_crowd:
            self.reading.notes.append(
                f"{counted(num_crowd, 'crowd region')} (iscrowd) {are(num_crowd)} not trained on"
            )

    def _read_object(self, annotation: AnnotationEntry, number: int, image_id: Any) -> ObjectRecord | None:
        file_name = self.images[image_id][0]

        def refuse(kind: str, message: str) -> None:
            who = f"annotation {number} of image {file_name}"
            self.reading.add(kind, self.path, f"{who} {message}", str(image_id), number)

        category, crowd, written = annotation.category_id, annotation.iscrowd, annotation.bbox
        category = category if type(category) is int else number_of(category)
        crowd = 0 if crowd is None else crowd
        name = self.names.get(category) if is_integer(category) else None
        box = _box(written) if written else box_around(getattr(annotation, "segmentation", None))
        if name is None:
            known = ", ".join(f"{key} {value}" for key, value in list(self.names.items())[:10])
            more = ", ..." if len(self.names) > 10 else ""
            message = (
                f"has the unknown category_id {category!r}: correct it or add the category; the categories"
            )
            refuse("unknown-class", f"{message} are: {known}{more}")
        elif crowd not in (0, 1):
            refuse("bad-coordinate", f"has iscrowd {crowd!r}: set it to 0 or 1")
        elif box is None:
            kind = "missing-tag" if written is None else "bad-coordinate"
            shown = repr(written) if len(repr(written)) < 200 else f"{repr(written)[:200]}..."
            message = f"has the bbox {shown} instead of four numbers (x, y, width, height): add the box"
            refuse(kind, f"{message} or remove the annotation")
        elif file_name[-16:] in KNOWN_EMPTY_BOXES and not (box[2] > box[0] and box[3] > box[1]):
            refuse(
                "known-empty-box", f"has the empty box {written}, as in COCO's own files: it is passed over"
            )
        else:
            # The box of a polygon is upright, whatever an attribute of that name says.
            if annotation.attributes and not getattr(annotation, "segmentation", None):
                box = box_around_turned(box, rotation_in(annotation.attributes))
            return ObjectRecord(name, box, bool(crowd), number, _area(annotation.area))
        return None


def _box(written: Any) -> Box | None:
    if type(written) is not list or len(written) != 4:
        return None
    x, y, width, height = written
    if not {type(x), type(y), type(width), type(height)} <= _NUMBERS:
        return _box(in_quotes(written)) if all(isinstance(value, str) for value in written) else None
    # One by one: they are false for NaN, of which the largest value would know nothing.
    if not (abs(x) < _HUGE and abs(y) < _HUGE and abs(width) < _HUGE and abs(height) < _HUGE):
        return None
    return float(x), float(y), float(x) + float(width), float(y) + float(height)


def _area(written: Any) -> float | None:
    """An area that makes sense; tools that know of no segments leave it out, or write 0."""
    return float(written) if type(written) in _NUMBERS and 0 < written < _HUGE**2 else None


def _as_written(box: Box) -> str:
    x1, y1, x2, y2 = box
    return f"[{x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g}] (x, y, width, height)"


def _id(value: Any) -> int | str | None:
    if type(value) is int:  # nearly all: a file has millions
        return value
    return number_of(value) if isinstance(value, _IDS) else None
