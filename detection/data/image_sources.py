"""What a source names: images, a video, or a webcam."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.data.image_files import IMAGE_SUFFIXES, UNREADABLE_SUFFIXES
from detection.system.wording import some_of
from detection.validation.near_paths import beside, refuse_url

VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts"))
_PHOTO_SUFFIXES = IMAGE_SUFFIXES | UNREADABLE_SUFFIXES

MARK = ".predicted"
"""A file in a folder of pictures that a prediction has made: they are not looked at again."""


class ImageFile(NamedTuple):
    """One image to detect in."""

    path: Path
    name: str
    """Its path below the source, with ``/``. Its results keep it: ``a/1.jpg`` and ``b/1.jpg`` stay apart."""


class ImageFiles(NamedTuple):
    """Images, sorted by name."""

    files: list[ImageFile]
    num_videos: int = 0
    """Videos in the same place, which are not looked at."""
    drawn: Sequence[Path] = ()
    """Folders that an earlier prediction has written there, which are not looked into."""


class VideoFile(NamedTuple):
    """A video."""

    path: Path


class Webcam(NamedTuple):
    """A camera, as numbered by the system."""

    number: int


Source = ImageFiles | VideoFile | Webcam


def find_source(source: str | int) -> Source:
    """Say what a source names.

    Args:
        source: an image; a folder, searched with its subfolders except hidden ones and what an earlier
            prediction has written; a pattern such as ``photos/*.jpg`` or ``photos/**/*.png``; a video; or the
            number of a webcam.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: what is there is neither an image nor a video.
    """
    if str(source) == "":
        raise ValueError("source is empty: name an image, a folder, a pattern or a video; . is this folder.")
    path = Path(str(source)).expanduser()
    if path.is_dir():
        drawn: list[Path] = []
        return _images(path, _walk(path, drawn), f"The folder {path}", drawn)
    if path.is_file():
        return _one_file(path)
    if str(source).isdecimal():
        return Webcam(int(source))
    if glob.has_magic(str(path)):
        found = [Path(match) for match in glob.glob(str(path), recursive=True)]
        return _images(
            _fixed_part(path), (match for match in found if match.is_file()), f"The pattern {path}"
        )
    refuse_url(str(source))
    raise FileNotFoundError(
        f"{path}: there is no such file or folder{beside(path)}. source takes an image, a folder, a quoted "
        "pattern such as 'photos/*.jpg', a video, or the number of a webcam."
    )


def _one_file(path: Path) -> Source:
    if path.suffix.lower() in _PHOTO_SUFFIXES:
        return ImageFiles([ImageFile(path, path.name)])
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoFile(path)
    raise ValueError(
        f"{path} is neither an image ({_listed(IMAGE_SUFFIXES)}) nor a video ({_listed(VIDEO_SUFFIXES)})."
    )


def _images(root: Path, paths: Iterable[Path], who: str, drawn: Sequence[Path] = ()) -> ImageFiles:
    paths = list(paths)  # which looks into the folders, and finds what was drawn
    files = [
        ImageFile(path, path.relative_to(root).as_posix())
        for path in paths
        if path.suffix.lower() in _PHOTO_SUFFIXES
    ]
    if not files:
        endings = Counter(path.suffix.lower() or "no ending" for path in paths)
        others = ", ".join(f"{count} x {ending}" for ending, count in endings.most_common(5))
        videos = " Videos are given one by one." if VIDEO_SUFFIXES & endings.keys() else ""
        results = f" Left out, written by an earlier prediction: {some_of(sorted(map(str, drawn)))}."
        raise ValueError(
            f"{who} has no image ({_listed(IMAGE_SUFFIXES)}); it has {others or 'no files at all'}.{videos}"
            f"{results if drawn else ''}"
        )
    num_videos = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in paths)
    return ImageFiles(sorted(files, key=lambda file: file.name), num_videos, sorted(drawn))


def _walk(root: Path, drawn: list[Path]) -> Iterable[Path]:
    """The files below a folder, without what a prediction has written, whose folders are added to `drawn`."""
    for folder, subfolders, names in os.walk(root):
        if MARK in names and Path(folder) != root:
            drawn.append(Path(folder))
            subfolders.clear()
            continue
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern above its first wildcard."""
    fixed = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _listed(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
