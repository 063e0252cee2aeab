"""What describes a set in YOLO's format: its ``data.yaml``, or the lists and names of other tools."""

import difflib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.formats.layouts import WHOLE, words_for
from detection.data.formats.places import (
    find_place,
    folder_called,
    has_yolo_labels,
)
from detection.data.formats.records import Reading
from detection.system.file_reading import (
    fault_of,
    read_text,
    read_words,
)

_KIND_OF_NAMES: dict[type, str] = {
    str: "one word or line",
    dict: "numbered otherwise",
    list: "a list of other values",
}
SPLIT_KEYS = ("train", *words_for("val"), "test")
"""Under which a description names the images of splits."""
_SPLIT = re.compile("|".join(sorted(SPLIT_KEYS, key=len, reverse=True)))
_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))  # as YAML writes that there is no split


class Description(NamedTuple):
    """What describes a set."""

    file: Path
    base: Path
    """What the paths of the splits are relative to."""
    names: list[str]
    content: dict[str, Any]
    keypoints: int
    """Numbers of a line, after the box, that are keypoints."""
    missing: Mapping[str, str] = {}
    """What is named as images for ``val`` or ``test`` and is not there: some exports name all splits."""
    missing_path: str | None = None
    """What ``path`` says where that folder is not there, but the images lie beside the file."""

    @property
    def root(self) -> Path:
        """What lies outside of this folder is not repeated in messages."""
        return self.file.parent


def read_description(file: Path, reading: Reading) -> Description | None:
    """Reads what describes a set; None if it cannot be used, which is added to the reading's findings.

    Args:
        file: a YAML file; or ``obj.data``, ``obj.names`` or ``classes.txt``, with lists of images beside it.
        reading: takes the findings.
    """
    if not file.exists():
        there = ", ".join(sorted(path.name for path in file.parent.glob("*.y*ml"))) or "none"
        message = (
            f"does not exist; YAML files in that folder: {there}. Point data.root to the folder that holds "
            "data.yaml, or to a YAML file of another name"
        )
        if has_yolo_labels(file.parent):
            message = (
                "does not exist, and nothing else names the classes: write it, with a line such as names: "
            )
            message += "[cat, dog]; images and labels in the usual places need no other"
        reading.add("missing-list", file, message)
        return None
    try:
        return _parse_yaml(file) if file.suffix in (".yaml", ".yml") else _parse_lists(file)
    except (ValueError, OSError) as error:
        kind = "missing-list" if isinstance(error, FileNotFoundError) else "broken-annotation"
        reading.add(kind, file, fault_of(file, file.parent, error))
    return None


def _parse_lists(file: Path) -> Description:
    """Reads what darknet, CVAT and Label Studio write: class names, and a list for each split."""
    root = file.parent.parent if file.parent.name.casefold() == "labels" else file.parent
    content: dict[str, Any] = {}
    if file.name == "obj.data":
        pairs = (line.partition("=") for line in read_text(file).splitlines() if "=" in line)
        content = {key.strip(): value.strip() for key, _, value in pairs}
        file = root / "obj.names"
    content["names"] = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    # A list's path is often that of another machine, or starts at a folder that is not there.
    for key in SPLIT_KEYS:
        lists = [root / f"{key}.txt", root / Path(str(content.get(key, key))).name]
        found = next((path for path in [*lists, *_folders_of(root, key)] if path.exists()), None)
        if found is not None:
            content[key] = str(found.relative_to(root))
    return Description(file, root, _class_names(content), content, 0)


def _folders_of(base: Path, key: str) -> list[Path]:
    """Where the images of a split are if nothing says it."""
    return [
        folder_called(folder_called(base, "images"), key),
        folder_called(folder_called(base, key), "images"),
    ]


def _parse_yaml(file: Path) -> Description:
    """Reads a YAML file; what is wrong with it is raised as a message that goes on from its name."""
    content = read_words(file)
    if not isinstance(content, dict):
        raise ValueError("should hold keys and values: train, val and names")
    names = _class_names(content)
    for key in SPLIT_KEYS:
        if isinstance(content.get(key), str) and content[key] in _NOTHING:
            del content[key]
    _read_keys(content)
    path = content.get("path") or ""
    if not isinstance(path, str):
        raise ValueError("has more than a word under 'path': it should be a folder, in one word")
    base = file.parent / path
    missing_path = None if base.is_dir() else path
    if missing_path is not None and not _lies_beside(file, content):
        raise FileNotFoundError(
            f"says 'path', but the folder {base} of its key 'path' does not exist; correct it, or remove "
            "'path' if the images lie beside the file"
        )
    base = base if missing_path is None else file.parent
    if not any(content.get(key) for key in SPLIT_KEYS):  # supervision names the classes only
        for key in SPLIT_KEYS:
            found = next((folder for folder in _folders_of(base, key) if folder.is_dir()), None)
            if found is not None:
                content[key] = str(found.relative_to(base))
    missing = {key: str(content[key]) for key in SPLIT_KEYS[1:] if _is_missing(base, key, content)}
    content = {key: value for key, value in content.items() if key not in missing}
    return Description(file, base, names, content, _keypoints(content), missing, missing_path)


def _read_keys(content: dict[str, Any]) -> None:
    """Takes the keys of splits as they are meant, in capitals or not; one that is misspelt is an error."""
    for key in [key for key in content if key not in SPLIT_KEYS]:
        meant = difflib.get_close_matches(key.casefold(), SPLIT_KEYS, n=1, cutoff=0.8)
        split = "val" if meant and meant[0] in words_for("val") else "".join(meant)
        if not meant or any(content.get(word) for word in words_for(split)):
            continue
        if key.casefold() != meant[0]:
            raise ValueError(f"has no {meant[0]!r}, but {key!r}: correct that key")
        content[meant[0]] = content.pop(key)


def _is_missing(base: Path, key: str, content: Mapping[str, Any]) -> bool:
    """Whether a split but the training has no images, though a tool names some.

    Of ``val`` that must be what tools name unasked: a place like that of ``train``. Else it is misspelt.
    """
    train, named = content.get("train"), content.get(key)
    places = [place for place in (train if isinstance(train, list) else [train]) if isinstance(place, str)]
    if not isinstance(named, str) or not named or not any(places):
        return False
    if key != "test" and _pattern(named) not in map(_pattern, places):
        return False
    entries = [content.get(split) for split in SPLIT_KEYS]
    if any(find_place(base, place, entries) is None for place in places):  # it may all be elsewhere
        return False
    found = find_place(base, named, entries)
    return found is None or not (found.is_file() or any(names for _, _, names in os.walk(found)))


def _pattern(place: str) -> str:
    return _SPLIT.sub("*", place.casefold().removeprefix("../"))


def _lies_beside(file: Path, content: dict[str, Any]) -> bool:
    """Whether the images to train on lie where a description says, taken from its own folder."""
    train = content.get("train")
    places, entries = train if isinstance(train, list) else [train], [content.get(key) for key in SPLIT_KEYS]
    return all(isinstance(each, str) and each and find_place(file.parent, each, entries) for each in places)


def _class_names(content: dict[str, Any]) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict) and set(names) == {str(number) for number in range(len(names))}:
        names = [names[str(number)] for number in range(len(names))]
    # Other values than words are not even written out: aliases can make them endless.
    words = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not isinstance(names, list) or not names or not words or not all(name.strip() for name in names):
        written = names if words or not names else _KIND_OF_NAMES.get(type(names), "of other values")
        raise ValueError(
            f"is not complete: 'names' is {written}; it should list the class names, such as [cat, "
            "dog], or number them from 0 without a gap"
        )
    count = content.get("nc", str(len(names)))
    if count != str(len(names)):
        raise ValueError(
            f"contradicts itself: 'nc' is {count if isinstance(count, str) else 'no number'}, but 'names' "
            f"has {len(names)}: correct one of them"
        )
    return [name.strip() for name in names]


def _keypoints(content: dict[str, Any]) -> int:
    """How many numbers of each line are keypoints, which follow the box."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or not all(isinstance(side, str) and side.isdigit() for side in shape):
        raise ValueError(
            "has no two numbers under 'kpt_shape': write [keypoints, numbers of each], or remove it"
        )
    return math.prod(int(side) for side in shape)


def training_key(description: Description) -> str:
    """What a description calls the images to train on: ``train``, or its only ``val``, or `WHOLE`."""
    splits = ("train", "val", "test")
    known = [split for split in splits if any(description.content.get(word) for word in words_for(split))]
    return "val" if known == ["val"] else "train" if known else WHOLE
