"""The set that is converted: its images by split, and what is wrong with it as training would say it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from detection.data.classes import found_classes
from detection.data.dataset import classes_of
from detection.data.formats.coco import read_coco
from detection.data.formats.layouts import Split, coco_paths, recognised
from detection.data.formats.listing import COCOListing, Listing, VOCListing, YOLOListing, listing_of
from detection.data.formats.records import SPLITS, ImageRecord, Reading
from detection.data.formats.usable import say_warnings, usable_records
from detection.data.formats.voc_folder import read_voc
from detection.data.formats.yolo import read_yolo
from detection.data.image_files import ImageError, read_header, refuse_another_size
from detection.data.writers.sets import COCOLayout, Sets

Format = Literal["voc", "coco", "yolo"]
_REMEDY = "python -m detection.check with fix=true output=... writes a copy without what is wrong"


def read_set(
    source: Format | Literal["auto"],
    folder: Path,
    splits: Sequence[Split] | None,
    split: Sequence[float] | None,
    layout: COCOLayout,
) -> tuple[Format, Sets, list[str], list[str]]:
    """Reads a set.

    Args:
        source: its format; ``auto`` recognises it.
        folder: the set.
        splits: see `convert`.
        split: the shares of a division that is asked for, which a set with lists of its own refuses.
        layout: of a COCO set.

    Returns:
        The format, the images by split, the class names, and what the user should know of it.

    Raises:
        FileNotFoundError: part of the set is missing.
        ValueError: the set is wrong.
    """
    if source == "auto":
        known = recognised(folder)
        source, listing = known.format, listing_of(known, folder)
    else:
        listing = _listing(source, folder, layout)
    if split is not None:
        _refuse_to_split(split, splits, listing)
    sets, names, told = _read_listed(listing) if splits is None else _read(source, folder, splits, layout)
    return source, sets, names, told


def _listing(source: str, folder: Path, layout: COCOLayout) -> Listing:
    if source == "coco":
        return COCOListing(folder, {name: layout.of(name) for name in SPLITS})
    return VOCListing(folder) if source == "voc" else YOLOListing(folder)


def _read_listed(listing: Listing) -> tuple[Sets, list[str], list[str]]:
    """The images of all splits that the set lists, or all that there are."""
    # A test may be named where there is none, as COCO's layout names it.
    val_alone = listing.lists_val_alone
    has = {
        "train": not val_alone and bool(listing.place("train")),
        "val": val_alone or listing.has("val"),
        "test": bool(listing.place("test")),
    }
    splits = [split for split in SPLITS if has[split]] or SPLITS[:1]
    readings: dict[str, Reading] = {split: listing.read(split) for split in splits}
    if isinstance(listing, COCOListing):
        readings = {split: _find_other_sizes(reading) for split, reading in readings.items()}
    if "test" in readings and not readings["test"].records and len(readings) > 1:  # an empty list, say
        del readings["test"]
    sets: Sets = {split: _all_records(reading) for split, reading in readings.items()}
    return sets, classes_of(readings.values()), _told(readings)


def _told(readings: Mapping[str, Reading]) -> list[str]:
    """What training says of these splits."""
    return [
        f"{split}: {line}"
        for split, reading in readings.items()
        for line in (*reading.notes, *say_warnings(reading))
    ]


def _refuse_to_split(split: Sequence[float], splits: Sequence[Split] | None, listing: Listing) -> None:
    shares = f"split=[{','.join(f'{share:g}' for share in split)}]"
    if abs(sum(split) - 1) > 1e-6 or not all(split):
        raise ValueError(
            f"{shares}: give the shares of train, val and test, each above 0, which make 1: "
            "split=[0.8,0.1,0.1]; or of train and val alone, split=[0.8,0.2]"
        )
    listed = [name for name in SPLITS if listing.has(name)]
    if splits is None and listed:
        there = [name for name in SPLITS if name in listed or listing.place(name)]
        raise ValueError(
            f"{shares}: {listing.root} has images of its own for {' and '.join(listed)}. Leave split out to "
            f"convert it as it is, or divide these anew: splits=[{','.join(there)}]"
        )


def _read(
    source: Format, root: Path, splits: Sequence[Split], layout: COCOLayout
) -> tuple[Sets, list[str], list[str]]:
    sets: Sets = {}
    told: list[str] = []
    names: list[str] = []
    if not splits:
        raise ValueError("splits=[]: name one or more, such as splits=[train,val]")
    for split in splits:
        if source != "voc" and not isinstance(split, str):
            raise ValueError(f"splits: {list(split)} is for VOC; a split of {source} is a name such as train")
        name = str(split if isinstance(split, str) else split[-1])
        if source == "voc":
            reading = read_voc(root, [split])
        elif source == "coco":
            reading = _find_other_sizes(read_coco(*coco_paths(root, name, *layout.of(name))))
        else:
            reading = read_yolo(root, name)
        sets.setdefault(name, []).extend(_all_records(reading))
        names += [new for new in reading.classes or () if new not in names]
        told += _told({name: reading})
    for name, records in sets.items():
        _refuse_repeated((record.image_id for record in records), name)
    names = names or found_classes(record for records in sets.values() for record in records)
    return sets, names, told


def _all_records(reading: Reading) -> list[ImageRecord]:
    """Those of a split in which nothing is wrong."""
    return usable_records(reading, remedy=_REMEDY)[0]


def _refuse_repeated(image_ids: Iterable[str], name: str) -> None:
    image_id, count = Counter(image_ids).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the image {image_id} is in {count} of the splits that make up {name}: give one")


def _find_other_sizes(reading: Reading) -> Reading:
    """Finds the images that are not of the size that their annotations name, as training would.

    COCO's files alone name one that was not read from the image.
    """
    for record in reading.records:
        try:
            found = read_header(record.path).size_of(record.upright)
            refuse_another_size(record.path, found, record.size, record.source)
        except ImageError as error:
            reading.add(error.kind, record.file, error.reason, record.image_id)
    return reading
