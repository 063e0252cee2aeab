"""A split in YOLO's format, read leniently: what cannot be understood becomes a finding."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from detection.data.yolo import IMAGE_SUFFIXES, TOLERANCE
from detection.file_reading import MAX_TEXT, is_inside, outside, read_file_bytes, read_text
from detection.inspection.records import Box, ImageRecord, ObjectRecord, Reading, shown


def read_yolo(root: Path, split: str, key: str) -> Reading:
    """Reads one split.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it; findings name files relative to the
            folder.
        split: ``train``, ``val`` or ``test``.
        key: that of the images in the YAML file.
    """
    file = root if root.suffix in (".yaml", ".yml") else root / "data.yaml"
    root = file.parent
    reading = Reading(split, shown(file, root))
    content = _load(file, reading)
    if content is None:
        return reading
    reading.classes = _read_names(content, file, reading)
    base = root / str(content.get("path") or "")
    images = list(dict.fromkeys(_list_images(content.get(key), key, base, root, reading)))
    if images and not any(_label_file(image).is_file() for image in images):
        message = (
            f"{split}: none of its {len(images)} images has a label file; {_label_file(images[0])} would be "
        )
        reading.add("missing-annotation", reading.file, f"{message}the first: put the labels there")
    reading.records += [_read_image(image, root, reading) for image in images]
    return reading


def _load(file: Path, reading: Reading) -> dict[str, Any] | None:
    if not file.exists():
        message = f"does not exist: point data.root to the folder that holds it (looked in {file.parent})"
        reading.add("missing-list", reading.file, message)
        return None
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        what = f": {error}" if is_inside(file, file.parent) else f". {outside(file, file.parent)}"
        reading.add("broken-annotation", reading.file, f"is not well-formed YAML{what}")
        return None
    if not isinstance(content, dict):
        message = "should hold the keys train, val and names: write them"
        reading.add("broken-annotation", reading.file, message)
        return None
    return content


def _read_names(content: dict[str, Any], file: Path, reading: Reading) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        written = repr(names) if is_inside(file, file.parent) else f"no list ({outside(file, file.parent)})"
        message = f"has {written} under 'names': list the class names, or number them from 0 without a gap"
        reading.add("missing-tag", reading.file, message)
        return ()
    if content.get("nc", len(names)) != len(names):
        message = f"has {content['nc']} under 'nc', but {len(names)} 'names': correct one of them"
        reading.add("broken-annotation", reading.file, message)
    return tuple(str(name).strip() for name in names)


def _list_images(places: Any, key: str, base: Path, root: Path, reading: Reading) -> Iterator[Path]:
    if not places:
        reading.add("missing-list", reading.file, f"has no key {key!r}: give the folder of its images")
        return
    for place in places if isinstance(places, list) else [places]:
        # Roboflow exports '../train/images' for a folder that is beside the file.
        candidates = [base / str(place), base / str(place).removeprefix("../")]
        found = next((path for path in candidates if path.exists()), None)
        if found is None:
            message = (
                f"says {place!r} under {key!r}, but {candidates[0]} does not exist: correct it, or 'path'"
            )
            reading.add("missing-list", reading.file, message)
        elif found.is_dir():
            images = sorted(file for file in found.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            _check_lonely_labels(found, images, root, reading)
            yield from images
        else:
            yield from _read_list(found, base, root, reading)


def _read_list(path: Path, base: Path, root: Path, reading: Reading) -> Iterator[Path]:
    seen: set[Path] = set()
    try:
        lines = read_file_bytes(path, MAX_TEXT).decode("utf-8-sig", "replace").splitlines()
    except OSError as error:
        reading.add("broken-annotation", shown(path, root), f"cannot be read ({error}): write it again")
        return
    quoting = is_inside(path, root)
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name:
            continue
        candidates = [path.parent / name, base / name]
        image = next((file for file in candidates if file.is_file()), None)
        if image is None and not quoting:
            message = f"line {number} is no path of an image. {outside(path, root)}"
            reading.add("missing-image", shown(path, root), message, "", number)
        elif image is None:
            message = (
                f"line {number}: there is no image {candidates[0]}: list images by paths relative to this "
            )
            reading.add(
                "missing-image", shown(path, root), f"{message}file, or remove the line", name, number
            )
        elif image in seen:
            message = f"line {number} lists {name} again: remove it"
            reading.add("listed-twice", shown(path, root), message, name, number)
        else:
            seen.add(image)
            yield image


def _check_lonely_labels(folder: Path, images: list[Path], root: Path, reading: Reading) -> None:
    labels = _label_file(folder / "any.jpg").parent
    expected = {_label_file(image) for image in images}
    if labels == folder:
        return
    for file in sorted(labels.rglob("*.txt")):
        if file not in expected and file.name != "classes.txt":
            message = f"has no image in {shown(folder, root)}: add the image or remove the labels"
            reading.add("missing-image", shown(file, root), message, file.stem)


def _label_file(image: Path) -> Path:
    """``labels/a.txt`` for ``images/a.jpg``, whichever folder called images comes last."""
    parts = list(image.parts)
    places = [position for position, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_image(image: Path, root: Path, reading: Reading) -> ImageRecord:
    labels = _label_file(image)
    image_id = (
        image.relative_to(root).with_suffix("").as_posix() if image.is_relative_to(root) else image.stem
    )
    objects, annotated = [], True
    if labels.exists():
        try:
            lines = read_text(labels).splitlines()
        except (ValueError, OSError) as error:
            message = f"is not a text file ({error}): export it again"
            reading.add("broken-annotation", shown(labels, root), message, image_id)
            lines, annotated = [], False
        if not is_inside(labels, root):  # then only numbers are repeated
            lines = [line if all(map(_is_number, line.split())) else "?" for line in lines]
        objects = [
            _object(line, number, shown(labels, root), image_id, reading)
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]
    return ImageRecord(
        split=reading.split,
        image_id=image_id,
        file=shown(labels, root),
        image=image,
        image_file=shown(image, root),
        objects=tuple(objects),
        relative=True,
        upright=True,
        annotated=annotated,
    )


def _object(line: str, number: int, file: str, image_id: str, reading: Reading) -> ObjectRecord:
    written = line.strip()[:60]

    def add(kind: str, problem: str) -> None:
        reading.add(kind, file, f"line {number} ({written}) {problem}", image_id, number)

    first, *rest = line.split()
    label, values = _number(first), [_number(word) for word in rest]
    names = reading.classes or ()
    name = names[int(label)] if label is not None and label.is_integer() and 0 <= label < len(names) else None
    if name is None:
        known = f"0 to {len(names) - 1}" if names else "no classes"
        add(
            "unknown-class",
            f"has the class {first}, but 'names' has {known}: correct the line or add the name",
        )
    numbers = [value for value in values if value is not None]
    box = None
    if len(numbers) < len(values):
        add("bad-coordinate", "should hold finite numbers only: class x y width height")
    elif len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        problem = (
            f"has {len(numbers)} numbers after the class; a box has 4 (x y width height), a polygon pairs of "
        )
        add("missing-tag", f"{problem}x y, 3 or more: correct the line")
    elif not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in numbers):
        add("bad-coordinate", "is not normalised: coordinates are fractions of the image's sides, 0 to 1")
    else:
        box = _box(numbers)
    return ObjectRecord(number, name, box, f"{' '.join(rest)[:60]} (x y width height)")


def _box(numbers: list[float]) -> Box:
    if len(numbers) == 4:
        x, y, width, height = numbers
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _is_number(text: str) -> bool:
    return _number(text) is not None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
