"""The YOLO format as a dataset: a ``data.yaml``, and a text file of normalised boxes beside each image."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.progress import track

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.records import (
    AnnotationError,
    ImageRecord,
    ObjectRecord,
    OnError,
    cut_at_borders,
    read_size,
    settle,
)
from detection.file_reading import is_inside, outside, read_text, unquoted_outside

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Written coordinates are rounded: the far corner of a box at the border may come out a hair past 1.
TOLERANCE = 1e-3
_FEW = 2000  # images whose sizes and labels are read in about a second


class YOLODetection(DetectionDataset):
    """Images and boxes of one split of a YOLO dataset, read and checked when the dataset is made.

    ``data.yaml`` names the classes (``names``, a list or numbered) and where the images of each split are: a
    folder, a text file that lists them, or several of these, relative to ``path``, which is relative to the
    file. The label file of ``images/a.jpg`` is ``labels/a.txt``; where no folder is called ``images``, it is
    beside the image. A line is ``class x y width height``: the centre and size of a box, in fractions of the
    image as it is shown (EXIF orientations are heeded). A line with more numbers is a polygon, of which the
    bounding box is taken. An image without a label file has no objects. An image is named by its path
    relative to the dataset.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it.
        split: ``train``, ``val`` or ``test``.
        classes: names in the order of the labels; None takes the names of ``data.yaml``.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        on_error: what becomes of images whose labels or file are wrong: ``raise`` or ``skip``.

    Raises:
        FileNotFoundError: the YAML file, a folder or a list is missing.
        ValueError: the YAML file or a label file is wrong, or an image is missing or listed twice.
    """

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        classes: Sequence[str] | None = None,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        on_error: OnError = "raise",
    ) -> None:
        skipped: list[str] = []
        records, names = read_yolo(root, split, skipped if on_error == "skip" else None)
        wanted = names if classes is None else classes
        super().__init__(records, wanted, transform, other_classes, upright=True, problems=skipped)


class _Description(NamedTuple):
    file: Path
    base: Path
    """What the paths of the splits are relative to."""
    names: list[str]
    content: dict[str, Any]


def read_yolo(
    root: Path | str, split: str, skipped: list[str] | None = None
) -> tuple[list[ImageRecord], list[str]]:
    """Reads one split of a YOLO dataset; see `YOLODetection`.

    Args:
        root: see `YOLODetection`.
        split: see `YOLODetection`.
        skipped: leave out images that cannot be used, and append here what is wrong with each; None refuses
            them.

    Returns:
        The images, and the names of the classes in the order of their numbers.

    Raises:
        FileNotFoundError: the YAML file, a folder or a list is missing.
        ValueError: the YAML file or a label file is wrong, or an image is missing or listed twice.
    """
    description = _read_description(Path(root).expanduser())
    problems: list[str] = []
    images = list(_list_images(description, split, problems))
    listed = len(images) + len(problems)
    where = f"the images of {split} in {description.file}"
    if not images:
        settle(problems, where, listed, skipped)
        raise ValueError(f"{description.file}: {split} has no images ({', '.join(IMAGE_SUFFIXES)}): add some")
    image, count = Counter(images).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{image} is listed {count} times in {split}: list each image once")
    if not any(_label_file(image).is_file() for image in images):
        raise FileNotFoundError(
            f"none of the {len(images)} images of {split} has a label file; {_label_file(images[0])} would "
            f"be that of {images[0]}: put the labels there (an image without objects may go without)"
        )
    records = []
    for image in track(images, f"Reading labels: {split}", disable=len(images) < _FEW):
        try:
            records.append(_read_image(image, description))
        except (ValueError, OSError) as error:
            problems.append(str(error))
    settle(problems, where, listed, skipped)
    return records, description.names


def _read_description(root: Path) -> _Description:
    file = root if root.suffix in (".yaml", ".yml") else root / "data.yaml"
    if not file.exists():
        there = ", ".join(sorted(path.name for path in file.parent.glob("*.y*ml"))) or "none"
        raise FileNotFoundError(
            f"{file} does not exist; YAML files in that folder: {there}. Point data.root to the folder that "
            "holds data.yaml, or to a YAML file of another name"
        )
    with unquoted_outside(file, file.parent):
        return _parse_description(file)


def _parse_description(file: Path) -> _Description:
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not well-formed YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} should hold keys and values: train, val and names")
    names = _class_names(content, file)
    path = content.get("path") or ""
    if not isinstance(path, str):
        raise ValueError(f"{file}: 'path' should be a folder, in one word")
    base = file.parent / path
    if not base.is_dir():
        raise FileNotFoundError(
            f"{file}: the folder {base} of its key 'path' does not exist; correct it, or remove 'path' if "
            "the images lie beside the file"
        )
    return _Description(file, base, names, content)


def _class_names(content: dict[str, Any], file: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    # Other values than words and numbers are not even written out: aliases can make them endless.
    words = isinstance(names, list) and all(isinstance(name, str | int | float) for name in names)
    if not isinstance(names, list) or not names or not words or not all(str(name).strip() for name in names):
        written = names if words or names is None else f"a {type(names).__name__}"
        raise ValueError(
            f"{file}: 'names' is {written}; it should list the class names, or number them from 0 without "
            "a gap"
        )
    count = content.get("nc", len(names))
    if count != len(names):
        raise ValueError(
            f"{file}: 'nc' is {count if isinstance(count, int) else 'no number'}, but 'names' has "
            f"{len(names)}: correct one of them"
        )
    return [str(name).strip() for name in names]


def _list_images(description: _Description, split: str, problems: list[str]) -> Iterator[Path]:
    """Yields the images of a split, folders sorted by name and lists in their order; notes missing ones."""
    places = description.content.get(split)
    if not places:
        keys = ("train", "val", "test")
        there = ", ".join(key for key in keys if description.content.get(key)) or "none"
        raise ValueError(f"{description.file} has no split {split!r}; its splits are: {there}")
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            raise ValueError(f"{description.file}: {split} should be a folder, a text file, or several")
        path = _find_place(description, place, split)
        if path.is_dir():
            images = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            problems += _labels_without_image(path, images)
            yield from images
        else:
            yield from _read_list(path, description, problems)


def _find_place(description: _Description, place: str, split: str) -> Path:
    path = description.base / place
    # Roboflow exports '../train/images' for a folder that is beside the file.
    candidates = [path, description.base / place.removeprefix("../")]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise FileNotFoundError(
        f"{description.file}: {split} is {place!r}, but {path} does not exist; correct it, or the key 'path'"
    )


def _read_list(path: Path, description: _Description, problems: list[str]) -> Iterator[Path]:
    missing = 0
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            name = line.strip()
            candidates = [path.parent / name, description.base / name]
            found = next((image for image in candidates if image.is_file()), None)
            if found is None and not is_inside(path, description.file.parent):
                missing += 1
            elif found is None:
                problems.append(
                    f"{path}: line {number}: there is no image {candidates[0]}; list images by paths "
                    "relative to this file, or remove the line"
                )
            else:
                yield found
    if missing:
        problems.append(
            f"{path}: {missing} lines are no paths of images. {outside(path, description.file.parent)}"
        )


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts[:-1]:
        last = max(position for position, part in enumerate(parts[:-1]) if part == "images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _labels_without_image(folder: Path, images: Sequence[Path]) -> list[str]:
    labels = _label_file(folder / "any.jpg").parent
    if labels == folder:
        return []
    expected = {_label_file(image) for image in images}
    lonely = [file for file in labels.rglob("*.txt") if file not in expected and file.name != "classes.txt"]
    return [f"{file} has no image in {folder}: add it or remove the labels" for file in sorted(lonely)]


def _read_image(image: Path, description: _Description) -> ImageRecord:
    size, labels = read_size(image, upright=True), _label_file(image)
    objects = []
    if labels.exists():
        for number, line in enumerate(read_text(labels).splitlines(), 1):
            if line.strip():
                objects.append(_parse_line(line, size, description, labels, number))
    base = description.base
    name = image.relative_to(base) if image.is_relative_to(base) else image
    return ImageRecord(name.as_posix(), image, size, tuple(objects), str(labels))


def _parse_line(
    line: str, size: tuple[int, int], description: _Description, labels: Path, row: int
) -> ObjectRecord:
    who = f"{labels}: line {row}"
    try:
        return _parse_object(line, size, description.names, f"{who} ({line.strip()[:60]})")
    except AnnotationError:
        if is_inside(labels, description.file.parent):
            raise
        return _parse_object(line, size, description.names, who)  # the same error, without a quotation


def _parse_object(line: str, size: tuple[int, int], names: Sequence[str], who: str) -> ObjectRecord:
    try:
        number, *values = map(float, line.split())
    except ValueError as error:
        raise AnnotationError(f"{who} should be numbers: class x y width height") from error
    if not number.is_integer() or not 0 <= number < len(names):
        raise AnnotationError(
            f"{who} has the class {number:g}, but 'names' in the YAML file has 0 to {len(names) - 1}: "
            "correct the line or add the name"
        )
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise AnnotationError(
            f"{who} has {len(values)} numbers after the class; a box has 4 (x y width height) and a polygon "
            "pairs of x y, 3 or more. Scores of detections do not belong into labels"
        )
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise AnnotationError(
            f"{who} is not normalised: coordinates are fractions of the image's width and height, 0 to 1"
        )
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    pixels = (box[0] * size[1], box[1] * size[0], box[2] * size[1], box[3] * size[0])
    inside = cut_at_borders(pixels, size)
    if box[2] <= box[0] or box[3] <= box[1] or inside is None:
        raise AnnotationError(f"{who} is an empty box: correct it or remove the line")
    return ObjectRecord(names[int(number)], inside, difficult=False)
