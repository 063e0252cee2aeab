"""What lies in a folder: where each layout keeps its annotations, its images and the lists of its splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

Split = str | Sequence[int | str]
"""``(year, split)``, ``(folder, split)``, or a split's name where the root itself is a VOC-style folder."""


class VOCPlace(NamedTuple):
    """Where a split in VOC's format lies."""

    folder: Path
    """What it is named after."""
    annotations: Path
    images: Path
    lists: Path
    """The folder of the lists."""
    split: str
    """The name of its list."""


def find_voc(root: Path, split: Split) -> VOCPlace:
    """Finds a split in VOC's format.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, or one VOC-style folder.
        split: ``(2007, "trainval")`` is in ``VOC2007``, ``("mine", "train")`` in ``mine``, and ``"train"`` in
            the root itself.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the split is not named in one of these ways.
    """
    if isinstance(split, str):
        candidates, name = [root], split
    else:
        if len(split) != 2:
            raise ValueError(f"a split is a name or a pair such as [2007, trainval]; got {list(split)}")
        folder, name = (f"VOC{split[0]}" if isinstance(split[0], int) else str(split[0])), str(split[1])
        candidates = [root / folder, root / "VOCdevkit" / folder]
    for candidate in candidates:
        if (candidate / "Annotations").is_dir():
            return VOCPlace(
                candidate,
                candidate / "Annotations",
                candidate / "JPEGImages",
                candidate / "ImageSets" / "Main",
                name,
            )
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) if root.is_dir() else None
    raise FileNotFoundError(
        f"no VOC-style folder {' or '.join(map(str, candidates))}; "
        + (f"{root} holds: {there or 'nothing'}. " if there is not None else f"{root} does not exist. ")
        + "Point data.root to the folder that holds VOCdevkit (or to one folder with Annotations, JPEGImages "
        "and ImageSets), or let data.download=true fetch PASCAL VOC"
    )
