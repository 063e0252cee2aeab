"""A set as it lies on disk: which of its splits have a list of their own, and what each of them says."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detection.data.formats.coco import read_coco
from detection.data.formats.findings import Finding
from detection.data.formats.layouts import (
    Layout,
    Split,
    coco_paths,
    find_coco,
    find_voc,
    find_yolo,
    training_list,
    words_for,
)
from detection.data.formats.records import SPLITS, Reading, SplitName
from detection.data.formats.voc_folder import read_voc, unlisted_annotations
from detection.data.formats.yolo import read_yolo
from detection.data.formats.yolo_description import read_description, training_key


@dataclass(frozen=True)
class Listing(ABC):
    """The splits of a set."""

    root: Path

    @abstractmethod
    def place(self, split: SplitName) -> str:
        """What lists the images of a split, for people; empty where nothing does.

        The images to train on may be all that there are, or the only list, under whatever name.
        """

    @abstractmethod
    def is_named(self, split: SplitName) -> bool:
        """Whether the user named a list for this split, which then has to be there."""

    @abstractmethod
    def read(self, split: SplitName, crowd: bool = True) -> Reading:
        """Reads the images of a split; without ``crowd``, not the crowd regions of COCO's format."""

    def has(self, split: SplitName) -> bool:
        """Whether a split has a list of its own, or has to have one."""
        place = self.place(split)
        return self.is_named(split) or bool(place and place != self.place("train"))

    @property
    def lists_val_alone(self) -> bool:
        """Whether its only list is for validation, which a training divides."""
        place = self.place("val")
        return bool(place) and place == self.place("train")

    def unlisted(self) -> list[Finding]:
        """What lies beside the splits and belongs to none of them."""
        return []

    @property
    def is_official(self) -> bool:
        """Whether this is PASCAL VOC itself, whose lists leave many annotated images out on purpose."""
        return False


@dataclass(frozen=True)
class VOCListing(Listing):
    """A set in VOC's format.

    Args:
        root: see `find_voc`.
        splits: what makes up each split; those that are left out are lists of the same name.
        official: the set claims to be PASCAL VOC itself.
    """

    splits: Mapping[SplitName, Sequence[Split]] = field(default_factory=dict)
    official: bool = False

    def place(self, split: SplitName) -> str:
        """The lists of ids, or the folder."""
        try:
            places = [find_voc(self.root, entry) for entry in self._entries(split)]
        except FileNotFoundError:
            return ""
        lists = [place.list_file or place.folder for place in places]
        return ", ".join(map(str, lists)) if all(path.exists() for path in lists) else ""

    def is_named(self, split: SplitName) -> bool:
        """Whether there are other entries than the split's own name."""
        return list(self.splits.get(split, [split])) != [split]

    def read(self, split: SplitName, crowd: bool = True) -> Reading:
        """Reads all entries of a split."""
        return read_voc(self.root, self._entries(split), self.official)

    def unlisted(self) -> list[Finding]:
        """A warning for each annotation that no list names; of PASCAL VOC itself a note."""
        kind = "unlisted-by-voc" if self.is_official else "unlisted-annotation"
        return unlisted_annotations(self.root, self._entries_there(), kind).findings

    @property
    def is_official(self) -> bool:
        """Whether it claims so, or has the devkit's lists of one class."""
        places = (find_voc(self.root, entry) for entry in self._entries_there())
        lists = (place.list_file.parent for place in places if place.list_file is not None)
        return self.official or any(any(folder.glob("aeroplane_*.txt")) for folder in lists)

    def _entries_there(self) -> list[Split]:
        return [entry for split in SPLITS if self.place(split) for entry in self._entries(split)]

    def _entries(self, split: SplitName) -> Sequence[Split]:
        if split == "train" and not self.is_named(split):
            return [training_list(self.root)]
        return self.splits.get(split, [split])


@dataclass(frozen=True)
class COCOListing(Listing):
    """A set in COCO's format.

    Args:
        root: what the paths are relative to.
        paths: the folder of images and the JSON file of each split; those that are left out are looked for.
    """

    paths: Mapping[SplitName, tuple[str, str]] = field(default_factory=dict)

    def place(self, split: SplitName) -> str:
        """The JSON file."""
        path = self._find(split)[1]
        return str(path) if path.exists() else ""

    def is_named(self, split: SplitName) -> bool:
        """Whether the JSON file has another name than COCO's own."""
        own = f"annotations/instances_{split}2017.json"
        return self.paths.get(split, ("", own))[1] != own

    def read(self, split: SplitName, crowd: bool = True) -> Reading:
        """Reads the JSON file."""
        return read_coco(*self._find(split), crowd=crowd)

    def _find(self, split: SplitName) -> tuple[Path | None, Path]:
        if split in self.paths:
            return coco_paths(self.root, split, *self.paths[split])
        # Without a file, the first place where one might be is named as missing.
        return None, find_coco(self.root, split) or self.root / f"annotations/instances_{split}.json"


@dataclass(frozen=True)
class YOLOListing(Listing):
    """A set in YOLO's format.

    Args:
        root: see `read_yolo`.
        keys: of the splits in the YAML file; those that are left out are the names of the splits.
    """

    keys: Mapping[SplitName, str] = field(default_factory=dict)

    def place(self, split: SplitName) -> str:
        """The key in the YAML file, or the file where that has no keys of splits."""
        description = read_description(find_yolo(self.root) or self.root / "data.yaml", Reading(""))
        if description is None:
            return ""
        key = self._key(split)
        known = next((word for word in words_for(key) if description.content.get(word)), None)
        return f"{known or 'all'} of {description.file}" if known or not key else ""

    def is_named(self, split: SplitName) -> bool:
        """Whether there is another key than the split's own name."""
        return self.keys.get(split, split) != split

    def read(self, split: SplitName, crowd: bool = True) -> Reading:
        """Reads what the key leads to."""
        return read_yolo(self.root, self._key(split))

    def _key(self, split: SplitName) -> str:
        if split == "train" and not self.is_named(split):
            file = find_yolo(self.root)
            description = read_description(file, Reading("")) if file else None
            return training_key(description) if description else split
        return self.keys.get(split, split)


def listing_of(layout: Layout, root: Path) -> Listing:
    """The splits of a set as its layout has them."""
    kinds: dict[str, type[Listing]] = {"voc": VOCListing, "coco": COCOListing, "yolo": YOLOListing}
    return kinds[layout.format](root)
