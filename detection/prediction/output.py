"""Where the files of a prediction go, and what must not be written over."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from detection.data.image_sources import ImageFile, ImageFiles, Source, VideoFile, Webcam
from detection.settings import Predict
from detection.system.files import refuse_unwritable

SETS: tuple[Literal["voc", "coco", "yolo"], ...] = ("voc", "coco", "yolo")
"""Of what can be saved, the data sets, each in a folder of its name."""
_DRAWN_AS_THEY_ARE = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))


def picture_path(output: Path, name: str) -> Path:
    """Where an image is drawn: ``images/<name>``, as PNG where its own kind cannot hold the drawing (GIF)."""
    suffix = PurePosixPath(name).suffix.lower()
    return output / "images" / (name if suffix in _DRAWN_AS_THEY_ARE else f"{name}.png")


def video_path(output: Path, source: VideoFile | Webcam) -> Path:
    """Where a video is drawn: ``<its name>.mp4``, or ``webcam_<number>.mp4``."""
    stem = f"webcam_{source.number}" if isinstance(source, Webcam) else source.path.stem
    return output / f"{stem}.mp4"


def check_output(settings: Predict, source: Source) -> None:
    """Refuse an output that would write nothing, or over something.

    Raises:
        FileExistsError: the folder holds something, and ``overwrite`` is not set.
        ValueError: nothing of the source would be written, or the source itself would be written over.
    """
    is_images = isinstance(source, ImageFiles)
    possible = ("images", "json", *SETS) if is_images else ("video", "json")
    if not set(possible) & set(settings.save):
        kind = "images" if is_images else "a video"
        raise ValueError(
            f"save={list(settings.save)} writes nothing of {kind}: name some of {', '.join(possible)}."
        )
    if settings.uncertain and not is_images:
        raise ValueError(f"uncertain={settings.uncertain} chooses among images: leave it out for a video.")
    if settings.track and is_images:
        raise ValueError("track=true follows objects through a video: leave it out for images.")
    folder = settings.output_folder
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output={folder} is a file: name a folder.")
    refuse_used(settings)
    refuse_unwritable(folder, "output")
    for kept in (folder / kind for kind in SETS if kind in settings.save):
        if kept.exists():  # whatever overwrite says: somebody may have corrected it
            raise FileExistsError(f"{kept} is a set already, which is not overwritten: name another output.")
    if isinstance(source, ImageFiles):
        _check_targets(source.files, settings)
    elif isinstance(source, VideoFile) and video_path(folder, source).resolve() == source.path.resolve():
        raise ValueError(f"{source.path} would be written over: choose another folder for output.")


def refuse_used(settings: Predict, but: str = "") -> None:
    """Refuse a folder in which something is, where it may not be overwritten.

    Args:
        settings: what to do.
        but: the name of a file that may be there.

    Raises:
        FileExistsError: it holds something.
    """
    folder = settings.output_folder
    used = folder.is_dir() and any(path.name != but for path in folder.iterdir())
    if used and not settings.overwrite:
        raise FileExistsError(
            f"output={folder} holds something already: name another folder, or set overwrite=true, which "
            "replaces files of the same name."
        )


def _check_targets(files: Sequence[ImageFile], settings: Predict) -> None:
    """Make sure that no two images share a file of the output, and that none is written over."""
    if "images" not in settings.save:
        return
    sources = {os.path.realpath(file.path) for file in files}  # of a circle of links, too
    owners: dict[Path, str] = {}
    for file in files:
        target = picture_path(settings.output_folder, file.name)
        if target in owners:
            raise ValueError(
                f"{owners[target]} and {file.name} would both be written to {target}: rename one, "
                "or give them one after the other."
            )
        if os.path.realpath(target) in sources:
            raise ValueError(f"{target} is one of the images to read: choose another folder for output.")
        owners[target] = file.name
