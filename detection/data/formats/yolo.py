"""YOLO's format: a ``data.yaml``, and a text file of normalised boxes for each image."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track

from detection.data.formats.findings import Finding
from detection.data.formats.index import Annotation, Entry, Index, Remark, stamp_of
from detection.data.formats.judging import deep, find_another_rule, keep_inside
from detection.data.formats.layouts import WHOLE, find_yolo
from detection.data.formats.places import labels_of
from detection.data.formats.records import AnnotationError, Box, ImageRecord, ObjectRecord, Reading
from detection.data.formats.yolo_description import Description, read_description
from detection.data.formats.yolo_images import list_images
from detection.data.image_files import IMAGE_SUFFIXES, ImageError, read_header
from detection.system.collector import no_collections
from detection.system.file_reading import is_inside, read_text
from detection.system.wording import counted

# Written coordinates are rounded: the far corner of a box at the border may come out a hair past 1.
TOLERANCE = 1e-3
_FEW = 2000  # images whose sizes and labels are read in about a second


def read_yolo(root: Path | str, split: str) -> Reading:
    """Reads one split of a YOLO dataset.

    ``data.yaml`` names the classes (``names``, a list or numbered) and where the images of each split are: a
    folder, a text file that lists them, or several of these, relative to ``path``, which is relative to the
    file. The label file of ``images/a.jpg`` is ``labels/a.txt``; where no folder is called ``images``, it is
    beside the image. A line is ``class x y width height``: the centre and size of a box, in fractions of the
    image as it is shown (EXIF orientations are heeded). A line with more numbers is a polygon, of which the
    bounding box is taken; where ``kpt_shape`` says so, keypoints follow the box. An image without labels
    has no objects. An image is named by its path relative to the dataset.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it.
        split: its key in that file: ``train``, ``val`` or ``test``; or `WHOLE`.
    """
    root = Path(root).expanduser()
    file = find_yolo(root) or root / "data.yaml"
    reading = Reading(f"the images of {split}{' in ' if split else ''}{file}", str(file))
    description = read_description(file, reading)
    if description is None:
        return reading
    reading.classes = tuple(description.names)
    if description.missing and split == "train":  # once is enough
        named = " and ".join(f"{key}, {place!r}" for key, place in description.missing.items())
        reading.add("missing-split", file, f"names images for {named}, which are not there")
    if description.missing_path is not None and split in ("train", WHOLE):
        reading.notes.append(
            f"{file} says 'path: {description.missing_path}', which is not here: its own folder is read"
        )
    images = list_images(description, split, reading)
    if not images and not reading.findings:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        message = f"says nothing of use: {split or 'the folder'} has no images ({suffixes}); add some"
        reading.add("empty-split", file, message)
    if images and not any(os.path.isfile(labels_of(image)) for image in images):
        what = counted(len(images), "image")
        message = (
            f"is of no use: of {what}{split and f' of {split}'} none has a label file; "
            f"{labels_of(images[0])} would be that of {images[0]}: put the labels there (an image without "
        )
        reading.add("missing-annotation", file, f"{message}objects may go without)")
        return reading
    _read_images(images, description, split, reading)
    bare = [record for record in reading.records if not record.objects and not os.path.isfile(record.source)]
    if bare:
        reading.notes.append(
            f"{counted(len(bare), 'image')}{split and f' of {split}'} without a label file, "
            f"{bare[0].path.name} for one: taken for images without objects"
        )
    return reading


@dataclass
class _Written:
    """The boxes of a split, with the size of the image of each, and its file and line."""

    boxes: list[Box] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    places: list[tuple[str, int]] = field(default_factory=list)


def _read_images(images: Sequence[Path], description: Description, split: str, reading: Reading) -> None:
    """Adds images to the reading, from the index where nothing changed."""
    base, keypoints = f"{description.base.as_posix()}/", description.keypoints
    # A path is put together and hashed slowly: strings go through the index.
    pairs = {image.as_posix().removeprefix(base): (image, labels_of(image)) for image in images}

    def is_fresh(image_id: str, entry: Entry) -> bool:
        image, labels = pairs[image_id]
        return entry.stamp == stamp_of(labels, str(image))

    read = partial(_read_image, pairs, description.root, keypoints)
    written = _Written()
    owners: dict[str, list[str]] = {}
    for image, labels in pairs.values():
        owners.setdefault(labels, []).append(image.name)
    with no_collections():
        index = Index(description.file.resolve(), f"{split}-{keypoints}")
        entries = index.read(list(pairs), is_fresh, read)
        few = len(images) < _FEW
        for image_id, entry in track(entries, f"Reading labels: {split}", len(pairs), disable=few):
            if isinstance(entry, Finding):
                reading.findings.append(entry)
                continue
            image, labels = pairs[image_id]
            if len(owners[labels]) > 1 and entry.annotation.objects:
                message = (
                    f"and {_others(image.name, owners[labels])} have one label file, {labels}, and nobody "
                    "knows whose objects these are: give the images names that differ by more than their "
                    "ending, and each its labels"
                )
                reading.add("shared-labels", image, message, image_id)
            else:
                _add(*pairs[image_id], image_id, entry, description.names, reading, written)
    boxes = np.array(written.boxes, np.float64).reshape(-1, 4)
    sizes = np.array(written.sizes, np.float64).reshape(-1, 2)
    numbers = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    name = "{0[0]} line {0[1]}"
    find_another_rule(
        reading, boxes, numbers, sizes, lambda row: name.format(written.places[row]),
        "x y width height, x and y of the centre",
    )  # fmt: skip


def _others(name: str, names: Sequence[str]) -> str:
    return " and ".join(other for other in names if other != name)


def _read_image(
    pairs: dict[str, tuple[Path, str]], root: Path, keypoints: int, image_id: str
) -> Entry | Finding:
    image, labels = pairs[image_id]
    stamp = stamp_of(labels, str(image))
    try:
        header = read_header(image)
    except ImageError as error:
        return Finding(error.kind, str(image), error.reason, image_id)
    try:
        annotation = read_labels(labels, True, keypoints)
        if annotation.remarks and not is_inside(Path(labels), root):
            annotation = read_labels(labels, False, keypoints)
    except (AnnotationError, OSError) as error:
        return Finding("broken-annotation", labels, str(error).removeprefix(f"{labels} "), image_id)
    return Entry(image.name, header, annotation, stamp)


def _add(
    image: Path,
    labels: str,
    image_id: str,
    entry: Entry,
    names: Sequence[str],
    reading: Reading,
    written: _Written,
) -> None:
    size = height, width = entry.header.size_of(upright=True)
    for kind, message, number in entry.annotation.remarks:
        reading.add(kind, labels, message, image_id, number)

    def write(box: Box) -> str:
        x, y = (box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height
        return f"{x:g} {y:g} {(box[2] - box[0]) / width:g} {(box[3] - box[1]) / height:g}"

    objects = []
    for item in entry.annotation.objects:
        x1, y1, x2, y2 = item.box
        box = x1 * width, y1 * height, x2 * width, y2 * height
        number = int(item.name)
        if number < len(names):
            objects.append(ObjectRecord(names[number], box, False, item.number))
        else:
            message = (
                f"line {item.number} ({number} {write(box)}) has the class {number}, but 'names' in the YAML "
                f"file has 0 to {len(names) - 1}: correct the line or add the name"
            )
            reading.add("unknown-class", labels, message, image_id, item.number)
    record = ImageRecord(image_id, str(image), size, tuple(objects), labels, "line", upright=True)
    if entry.header.deep:
        reading.findings.append(deep(record))
    keep_inside(reading, record, write)
    file = os.path.basename(labels)
    for item in objects:
        written.boxes.append(item.box)
        written.sizes.append(size)
        written.places.append((file, item.number))


def read_labels(path: Path | str, quoting: bool = True, keypoints: int = 0) -> Annotation:
    """Reads one label file; where there is none, there are no objects.

    The names of the objects are the numbers of their classes, and their boxes are in fractions of the image.

    Args:
        path: the file.
        quoting: repeat lines in messages.
        keypoints: so many numbers of a line, after the box, are keypoints.

    Raises:
        AnnotationError: it is no text.
    """
    objects: list[ObjectRecord] = []
    remarks: list[Remark] = []
    try:
        lines = read_text(path).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    except (ValueError, OSError) as error:
        raise AnnotationError(str(error)) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            item = _read_line(line, number, f" ({line.strip()[:60]})" if quoting else "", keypoints)
            if isinstance(item, ObjectRecord):
                objects.append(item)
            else:
                remarks.append(item)
    return Annotation("", None, tuple(objects), tuple(remarks))


def _read_line(line: str, row: int, quoted: str, keypoints: int) -> ObjectRecord | Remark:
    who = f"line {row}{quoted}"
    try:
        number, *values = map(float, line.replace("_", "?").split())  # Python reads 1_0 as 10
    except ValueError:
        return "bad-coordinate", f"{who} should be numbers: class x y width height", row
    if keypoints and len(values) == 4 + keypoints:
        values = values[:4]
    if not number.is_integer() or number < 0:
        return "unknown-class", f"{who} has the class {number:g}: number classes from 0, as in 'names'", row
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        message = (
            f"{who} has {len(values)} numbers after the class; a box has 4 (x y width height) and a polygon "
            "pairs "
        )
        return (
            "missing-tag",
            f"{message}of x y, 3 or more. Scores of detections do not belong into labels",
            row,
        )
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        message = (
            f"{who} is not normalised: coordinates are fractions of the image's width and height, 0 to 1"
        )
        return "bad-coordinate", message, row
    box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return ObjectRecord(str(int(number)), box, False, row)
