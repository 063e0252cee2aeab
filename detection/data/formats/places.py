"""Where the files of a set lie: behind links, and where another computer or system wrote down their paths."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from detection.data.image_files import IMAGE_SUFFIXES, UNREADABLE_SUFFIXES
from detection.system.wording import folded

# Of several images of one name, the first of these is meant.
_PREFERRED = (".jpg", ".jpeg", ".png")
_DRIVE = re.compile(r"[A-Za-z]:")
# The last folder called images on the way to a file.
_IMAGES = re.compile(r"(.*/|)images(/.*)", re.IGNORECASE | re.DOTALL)
# What Label Studio puts before the name of an uploaded file.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def files_below(folder: Path) -> list[str]:
    """What lies in a folder and its subfolders, in the order of the names of folders and files on the way.

    Links to folders are followed, each folder once, so that a circle of them ends; those that lead above the
    folder are not, since other splits lie there. What a Macintosh puts beside each file of an archive
    (``._a.jpg``) is left out.
    """
    return sorted(walk_below(folder), key=lambda file: file.split(os.sep))


def walk_below(folder: Path) -> Iterator[str]:
    """The same one by one, for those who need the first of a kind only."""
    seen: set[str] = set()
    root = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen or root.startswith(f"{place.rstrip(os.sep)}{os.sep}"):
            folders.clear()
            continue
        seen.add(place)
        folders.sort()  # of two links to a folder the first is followed, on every disk
        for name in (*folders, *files):
            if not name.startswith("._"):
                yield os.path.join(parent, name).removeprefix(f".{os.sep}")


def moved(base: Path, written: str) -> Path | None:
    """What a path of another computer leads to here: the longest end of it that is there.

    In a set that was copied ``/content/pets/images/train`` and ``C:/pets/images/train`` are ``images/train``.

    Args:
        base: the folder of the set, which the result lies in.
        written: the path. One that is relative to the set is none of another computer: None.
    """
    plain = written.replace("\\", "/")
    if not plain.startswith(("/", "../")) and not _DRIVE.match(plain):
        return None
    parts = [part for part in plain.split("/") if part not in ("", ".", "..")]
    ends = (base.joinpath(*parts[start:]) for start in range(len(parts)) if ":" not in parts[start])
    return next((path for path in ends if path.exists()), None)


def find_place(base: Path, written: str, entries: Sequence[Any]) -> Path | None:
    """Where an entry of a set's description leads; see ``named_place`` and ``guessed``."""
    return named_place(base, written) or guessed(base, written, entries)


def named_place(base: Path, written: str) -> Path | None:
    """The folder or list that an entry names, from the folder of the set; folders in capitals or not."""
    # Roboflow exports '../train/images' for a folder that is beside the file.
    plain = written.replace("\\", "/")
    candidates = [base / written, base / plain, base / plain.removeprefix("../")]
    candidates.append(reduce(folder_called, plain.removeprefix("../").split("/"), base))
    return next((path for path in candidates if path.exists()), None)


def guessed(base: Path, written: str, entries: Sequence[Any]) -> Path | None:
    """What an entry of another computer leads to; None where another entry leads there, too.

    Args:
        base: the folder of the set.
        written: the entry.
        entries: those of all splits, one or a list each.
    """
    path = moved(base, written)
    each = [one for entry in entries for one in (entry if isinstance(entry, list) else [entry])]
    others = [one for one in each if isinstance(one, str) and one and one != written]
    if path is not None and any((named_place(base, other) or moved(base, other)) == path for other in others):
        return None
    return path


def plain_name(path: str) -> str:
    """The name at the end of a path of any system."""
    return os.path.basename(path.replace("\\", "/"))


def folder_called(base: Path, name: str) -> Path:
    """The folder of a name; where there is none, the only one whose name differs in capitals."""
    folder = base / name
    if os.path.isdir(folder) or not os.path.isdir(base):
        return folder
    alike = [path for path in base.iterdir() if path.name.casefold() == name.casefold() and path.is_dir()]
    return alike[0] if len(alike) == 1 else folder


def file_called(root: Path, names: Sequence[str]) -> Path | None:
    """The JSON file of one of these names in other capitals: CVAT's splits are Train and Validation.

    The first name counts of which there is one such file; each folder is listed once.
    """
    there: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in names):
        place = folder_called(root, folder) if folder else root
        for path in place.glob("*.json"):
            there.setdefault(f"{folder}/{path.name}".lstrip("/").casefold(), []).append(path)
    alike = (there.get(name.casefold(), []) for name in names)
    return next((paths[0] for paths in alike if len(paths) == 1), None)


def label_file(image: Path) -> str:
    """``labels/a.txt`` for ``images/a.jpg``, by the last folder called images, in capitals or not."""
    stem = os.path.splitext(image.as_posix())[0]
    if (found := _IMAGES.fullmatch(stem)) is None:
        return f"{stem}.txt"
    before, after = found.groups()
    labels = f"{before}labels"  # of a set of many images: a path is put together slowly
    if not os.path.isdir(labels):
        labels = folder_called(Path(before), "labels").as_posix()
    return f"{labels}{after}.txt"


def labels_of(image: Path) -> str:
    """The label file of an image; its ending may be in capitals."""
    return in_either_case(label_file(image))


def in_either_case(path: str) -> str:
    """A file by its name, or by the same with its ending in capitals where only that is there.

    Or with its letters put together otherwise: a Mac writes an umlaut as two characters.
    """
    if os.path.isfile(path):
        return path
    stem, suffix = os.path.splitext(path)
    names = [path, stem + suffix.upper()]
    if not path.isascii():
        names += [other for name in names for other in other_forms(name)]
    return next((name for name in names if os.path.isfile(name)), path)


def other_forms(path: str) -> list[str]:
    """A path whose last part has its letters put together, and taken apart."""
    folder, slash, name = path.rpartition("/")
    return [folder + slash + unicodedata.normalize(form, name) for form in ("NFC", "NFD")]


def has_below(folder: Path, suffix: str) -> bool:
    """Whether a file with an ending, in small letters, lies in a folder or below."""
    return any(name.lower().endswith(suffix) for name in walk_below(folder))


def has_yolo_labels(root: Path) -> bool:
    """Whether there are text files in a folder called labels, of the set or of a split, or beside images."""
    images = (path for path in root.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    labels = (folder_called(folder, "labels") for folder in (root, *root.glob("*/")))
    beside = any(path.with_suffix(".txt").is_file() for path in images)
    return beside or any(has_below(folder, ".txt") for folder in labels)


class FilesByName:
    """The images in a folder, by the names that tools give them.

    Args:
        folder: that of the images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[str]] | None = None

    def find(self, file_name: str) -> str | None:
        """The path of an image, relative to the folder.

        If there is no such file, this is the longest end of a path with a folder that is there, as in a set
        that was moved; else the only one of that name: folders, the case of letters, what an address
        escapes (``%20``) and what an upload put before it do not matter.
        """
        plain = file_name.replace("\\", "/")
        if "://" in plain:  # an address may go on behind the file
            plain = plain.partition("?")[0]
        if "\0" in plain:
            return None
        inside = not os.path.isabs(plain) and ".." not in plain.split("/")
        if inside and os.path.isfile(f"{self.folder}/{file_name}"):
            return file_name
        if inside and os.path.isfile(f"{self.folder}/{plain}"):
            return plain
        parts = [part for part in plain.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts) - 1):
            if os.path.isfile(f"{self.folder}/{(end := '/'.join(parts[start:]))}"):
                return end
        if self._by_name is None:
            self._by_name = {}
            for path in map(Path, files_below(self.folder)):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    names = self._by_name.setdefault(folded(unquote(path.name)), [])
                    names.append(path.relative_to(self.folder).as_posix())
        name = folded(unquote(plain.rpartition("/")[2]))
        found = self._by_name.get(name) or self._by_name.get(_UPLOAD.sub("", name)) or []
        return found[0] if len(found) == 1 else None


def find_images(annotations: Path, file_names: Sequence[str]) -> Path:
    """The folder of the images of a JSON file: that around it which holds most of them, the first of several.

    Args:
        annotations: the JSON file.
        file_names: what it calls some of its images.
    """
    split = re.sub(r"^(instances|labels|annotations)_", "", annotations.stem)
    root = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
    names = (split, f"images/{split}", f"{split}/images", split.removesuffix("2017"), "images", "data", ".")
    candidates = [folder for name in names if (folder := root / name).is_dir()]
    held = dict.fromkeys(candidates, 0)
    for folder in candidates:
        files = FilesByName(folder)
        held[folder] = sum(files.find(name) is not None for name in file_names)
        if held[folder] == len(file_names):
            break
    return max(candidates, key=lambda folder: held[folder]) if any(held.values()) else candidates[-1]


def images_by_stem(folder: Path) -> dict[str, str]:
    """The names of the files in a folder, by themselves and, of images, by their stems."""
    names = sorted(os.listdir(folder), key=_preference) if folder.is_dir() else []
    found = {name: name for name in names}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in IMAGE_SUFFIXES | UNREADABLE_SUFFIXES:
            found.setdefault(stem, name)
    for name in [name for name in found if not name.isascii()]:
        for other in other_forms(name):
            found.setdefault(other, found[name])
    return found


def _preference(name: str) -> tuple[bool, str]:
    return os.path.splitext(name)[1].lower() not in _PREFERRED, name
