"""The images of a split in YOLO's format: the folders and lists that its description leads to."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detection.data.formats.layouts import WHOLE, words_for
from detection.data.formats.places import (
    files_below,
    folder_called,
    guessed,
    label_file,
    moved,
    named_place,
)
from detection.data.formats.records import Reading
from detection.data.formats.yolo_description import SPLIT_KEYS, Description
from detection.data.image_files import IMAGE_SUFFIXES, UNREADABLE_SUFFIXES
from detection.system.file_reading import MAX_TEXT, fault_of, is_inside, open_file, outside, read_text


def list_images(description: Description, split: str, reading: Reading) -> list[Path]:
    """The images of a split, each once; folders are sorted by name, lists keep their order."""
    places = next((place for word in words_for(split) if (place := description.content.get(word))), None)
    file = description.file
    if split == WHOLE:
        places = folder.name if (folder := folder_called(description.base, "images")).is_dir() else "."
    if not places:
        there = ", ".join(key for key in SPLIT_KEYS if description.content.get(key)) or "none"
        reading.add("missing-list", file, f"has no split {split!r}; its splits are: {there}")
        return []
    images: list[Path] = []
    entries = [description.content.get(key) for key in SPLIT_KEYS]
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            message = f"is not clear: {split} should be a folder, a text file, or several"
            reading.add("broken-annotation", file, message)
            return []
        path = named_place(description.base, place)
        if path is None and (path := guessed(description.base, place, entries)) is not None:
            reading.notes.append(f"{file} says {place!r} under {split!r}, which is not here: {path} is read")
        if path is None:
            missing = description.base / place
            message = f"says {place!r} under {split!r}, but {missing} does not exist; correct it, or 'path'"
            if split != "train":
                message += ", or remove the line if the set has no such images"
            reading.add("missing-list", file, message)
            continue
        if path.is_dir():
            found = [
                Path(file)
                for file in files_below(path)
                if os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES | UNREADABLE_SUFFIXES
                and not os.path.basename(file).startswith(".")
            ]
            _find_lonely_labels(path, found, reading)
            images += found
        else:
            images += _read_list(path, description, reading)
    counts = Counter(images)
    repeated = next((image for image, count in counts.items() if count > 1), None)
    if repeated is not None:
        message = (
            f"lists images twice: {repeated} is listed {counts[repeated]} times in {split}; list each image "
            "once"
        )
        reading.add("listed-twice", file, message)
    return list(counts)


def _read_list(path: Path, description: Description, reading: Reading) -> list[Path]:
    images: dict[Path, None] = {}
    elsewhere: list[str] = []
    quoting = is_inside(path, description.root)
    try:
        lines = read_text(path).splitlines()
    except (ValueError, OSError) as error:
        reading.add("broken-annotation", path, fault_of(path, description.root, error))
        return []
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        # CVAT's lists start at a folder called data, which is the set itself.
        names = [name, name.removeprefix("data/")]
        candidates = [folder / part for part in names for folder in (path.parent, description.base)]
        found = next((image for image in candidates if os.path.isfile(image)), None)
        if found is None and quoting and (found := moved(description.base, name)) is not None:
            elsewhere.append(f"{name} is not here: {found}")
        if found in images:
            message = f"line {number} lists {name} again: {found} is listed twice; remove the line"
            reading.add("listed-twice", path, message, "", number)
        elif found is not None:
            images[found] = None
        else:
            message = (
                f"line {number}: there is no image {candidates[0]}; list images by paths relative to this "
                "file, or remove the line"
            )
            if not quoting:
                message = f"line {number} is no path of an image. {outside(path, description.root)}"
            reading.add("missing-image", path, message, "", number)
    if elsewhere:
        more = f", and {len(elsewhere) - 1} more likewise" if len(elsewhere) > 1 else ""
        reading.notes.append(f"{path} lists images by paths of another place; {elsewhere[0]} is read{more}")
    return list(images)


def _find_lonely_labels(folder: Path, images: Sequence[Path], reading: Reading) -> None:
    labels = Path(label_file(folder / "any.jpg")).parent
    if labels == folder:
        return
    expected = {label_file(image) for image in images}
    for name in files_below(labels):
        file = Path(name)
        owner = file.with_suffix(".txt").as_posix()  # the ending may be in capitals
        if file.suffix.lower() != ".txt" or owner in expected or file.name.startswith("."):
            continue
        if _looks_like_labels(file):
            message = f"has no image in {folder}: add it or remove the labels"
            reading.add("missing-image", file, message, file.as_posix())


def _looks_like_labels(file: Path) -> bool:
    """Whether a text file begins with a number, as labels do, and READMEs and lists of names do not."""
    with open_file(file, MAX_TEXT) as opened:
        first = opened.read(100).split()
    return bool(first) and first[0].removeprefix(b"-").replace(b".", b"", 1).isdigit()
