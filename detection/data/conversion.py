"""From one annotation format to another: VOC, COCO and YOLO, in any direction."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch

from detection.bounds import Division
from detection.data.classes import (
    OtherClasses,
    found_classes,
    refuse_misspelt,
    say_left_out,
    select_classes,
)
from detection.data.dataset import classes_of
from detection.data.formats.coco import read_coco
from detection.data.formats.layouts import Split, coco_paths, recognised
from detection.data.formats.listing import COCOListing, Listing, VOCListing, YOLOListing, listing_of
from detection.data.formats.records import SPLITS, Box, ImageRecord, Reading
from detection.data.formats.usable import usable_records
from detection.data.formats.voc import from_voc_corners, whole_voc_corners
from detection.data.formats.voc_folder import read_voc
from detection.data.formats.yolo import read_yolo
from detection.data.image_files import read_header
from detection.data.orientation import boxes_as_shown, boxes_as_stored, size_as_stored
from detection.data.splitting import divide, name_in
from detection.data.writers.sets import (
    COCO_LAYOUT,
    COCOLayout,
    Sets,
    write_coco_set,
    write_voc_set,
    write_yolo_set,
)
from detection.system.files import refuse_unwritable
from detection.system.wording import are, counted

Format = Literal["voc", "coco", "yolo"]
_TURNED = range(2, 9)  # of EXIF's orientations; some cameras write 0 for upright
WRITERS = {"voc": write_voc_set, "coco": write_coco_set, "yolo": write_yolo_set}


def convert(
    source: Format | Literal["auto"],
    to: Format,
    root: str,
    out: str,
    splits: Sequence[Split] | None = None,
    split: Division | None = None,
    seed: int = 233,
    classes: Sequence[str] | None = None,
    other_classes: OtherClasses = "error",
    link: bool = False,
    coco_images: str = COCO_LAYOUT.images,
    coco_annotations: str = COCO_LAYOUT.annotations,
) -> list[str]:
    """Writes the splits of a set in another format, with their images, into a new folder.

    The folder appears when it is whole; an interrupted conversion leaves nothing behind.

    Args:
        source: the format to read; ``auto`` recognises it.
        to: the format to write.
        root: the set to read, as the format's ``data.root``.
        out: the folder to write; it must not exist, or be empty.
        splits: names of splits; for VOC also pairs such as ``(2007, "trainval")``, of which those with one
            name are joined. None takes train and, where the set has it, val.
        split: divide the images among train, val and test in these shares, as a training would: those of a
            set that lists no val, or of all the ``splits`` given.
        seed: of that division.
        classes: class names in the order of the labels; None takes all that the set names, and for VOC all
            that objects have, sorted.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        link: link to the images instead of copying them.
        coco_images: the folder of a split's images in a COCO set that is read.
        coco_annotations: the JSON file of a split in a COCO set that is read.

    Returns:
        What the user should know: a sentence for each way in which the two sets differ.

    Raises:
        FileNotFoundError: part of the set is missing.
        FileExistsError: the output folder holds something.
        ValueError: the set is wrong, or does not fit the format to write.
    """
    target = Path(out).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(
            f"{target} exists and is not empty: move it away or choose another folder (out=...)"
        )
    refuse_unwritable(target.parent, "out")
    layout = COCOLayout(coco_images, coco_annotations)
    source, sets, names = _open(source, Path(root).expanduser(), splits, split, layout)
    if split is not None:
        sets = _divide(sets, split, seed, Path(root).expanduser())
    sets, names, notes = _select(sets, names, classes, other_classes)
    sets, num_turned = _turn_boxes(sets, upright=to != "voc")
    _write(to, target, sets, names, link)
    counts = ", ".join(f"{name} {counted(len(records), 'image')}" for name, records in sets.items())
    if num_turned:
        now = "pixels as stored, as VOC's are" if to == "voc" else "image as shown, as COCO's and YOLO's are"
        notes.append(
            f"stored turned (EXIF): {counted(num_turned, 'image')}, with boxes that are now of the {now}"
        )
    return [f"{target}: {counts}; {counted(len(names), 'class')}", *notes, *_losses(source, to, sets)]


def _write(to: Format, target: Path, sets: Sets, names: list[str], link: bool) -> None:
    """Writes a folder that appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=target.parent) as temporary:
        fresh = Path(temporary) / target.name
        WRITERS[to](fresh, sets, names, link)
        if target.exists():
            target.rmdir()
        fresh.rename(target)


def _open(
    source: Format | Literal["auto"],
    folder: Path,
    splits: Sequence[Split] | None,
    split: Sequence[float] | None,
    layout: COCOLayout,
) -> tuple[Format, Sets, list[str]]:
    """The format, the images by split, and the class names of a set."""
    if source == "auto":
        known = recognised(folder)
        source, listing = known.format, listing_of(known, folder)
    else:
        listing = _listing(source, folder, layout)
    if split is not None:
        _refuse_to_split(split, splits, listing)
    return source, *(_read_listed(listing) if splits is None else _read(source, folder, splits, layout))


def _listing(source: str, folder: Path, layout: COCOLayout) -> Listing:
    if source == "coco":
        return COCOListing(folder, {name: layout.of(name) for name in SPLITS})
    return VOCListing(folder) if source == "voc" else YOLOListing(folder)


def _read_listed(listing: Listing) -> tuple[Sets, list[str]]:
    """The images to train on, and those to validate on where the set has them."""
    readings = {split: listing.read(split) for split in SPLITS[:2] if split == "train" or listing.has(split)}
    sets: Sets = {split: _all_records(reading) for split, reading in readings.items()}
    return sets, classes_of(readings.values())


def _refuse_to_split(split: Sequence[float], splits: Sequence[Split] | None, listing: Listing) -> None:
    shares = f"split=[{','.join(f'{share:g}' for share in split)}]"
    if abs(sum(split) - 1) > 1e-6 or not all(split):
        raise ValueError(
            f"{shares}: give the shares of train, val and test, which make 1: split=[0.8,0.1,0.1]"
        )
    listed = [name for name in SPLITS if listing.has(name)]
    if splits is None and listed:
        raise ValueError(
            f"{shares}: {listing.root} has images of its own for {' and '.join(listed)}. Leave split out to "
            f"convert it as it is, or divide these anew: splits=[{','.join(['train', *listed])}]"
        )


def _divide(sets: Sets, split: Sequence[float], seed: int, folder: Path) -> Sets:
    """Divides all images anew, as a training would."""
    records = {name_in(folder, record.path): record for joined in sets.values() for record in joined}
    if len(records) < len(split):
        raise ValueError(
            f"split: {counted(len(records), 'image')} cannot fill {len(split)} splits: add images"
        )
    fractions = dict(zip(SPLITS[1:], split[1:], strict=False))
    images, _ = divide(records, fractions, seed, folder)
    return {name: [records[image] for image in images[name]] for name in images}


def _read(source: Format, root: Path, splits: Sequence[Split], layout: COCOLayout) -> tuple[Sets, list[str]]:
    sets: Sets = {}
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
            reading = read_coco(*coco_paths(root, name, *layout.of(name)))
        else:
            reading = read_yolo(root, name)
        sets.setdefault(name, []).extend(_all_records(reading))
        names += [new for new in reading.classes or () if new not in names]
    for name, records in sets.items():
        _refuse_repeated((record.image_id for record in records), name)
    return sets, names or found_classes(record for records in sets.values() for record in records)


def _all_records(reading: Reading) -> list[ImageRecord]:
    """Those of a split in which nothing is wrong."""
    remedy = "python -m detection.check with fix=true output=... writes a copy without what is wrong"
    return usable_records(reading, remedy=remedy)[0]


def _refuse_repeated(image_ids: Iterable[str], name: str) -> None:
    image_id, count = Counter(image_ids).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the image {image_id} is in {count} of the splits that make up {name}: give one")


def _select(
    sets: Sets, names: list[str], classes: Sequence[str] | None, other_classes: OtherClasses
) -> tuple[Sets, list[str], list[str]]:
    wanted = names if classes is None else [name.strip() for name in classes]
    left_out: Counter[str] = Counter()
    chosen: Sets = {}
    for name, records in sets.items():
        chosen[name], others = select_classes(records, wanted, other_classes)
        left_out += others
    used = {item.name for records in chosen.values() for record in records for item in record.objects}
    refuse_misspelt(wanted, used, left_out)
    return chosen, wanted, [say_left_out(left_out)] if left_out else []


def _turn_boxes(sets: Sets, upright: bool) -> tuple[Sets, int]:
    """Makes all boxes those of the images as shown, or of the pixels as stored; and how many images that was.

    VOC's corners belong to the pixels as stored, the boxes of COCO and YOLO to the image as shown.
    """
    turned: dict[Path, ImageRecord] = {}
    for record in {record.path: record for records in sets.values() for record in records}.values():
        orientation = 1 if record.upright == upright else read_header(record.path).orientation
        if orientation in _TURNED:
            turned[record.path] = _turn(record, orientation, upright)
    return {
        name: [turned.get(record.path, record) for record in records] for name, records in sets.items()
    }, len(turned)


def _turn(record: ImageRecord, orientation: int, upright: bool) -> ImageRecord:
    boxes = torch.tensor([item.box for item in record.objects], dtype=torch.float64).reshape(-1, 4)
    turn = boxes_as_shown if upright else boxes_as_stored
    objects = tuple(
        item._replace(box=(x1, y1, x2, y2))
        for item, (x1, y1, x2, y2) in zip(
            record.objects, turn(boxes, orientation, record.size).tolist(), strict=True
        )
    )
    # A quarter turn is the same for the sides of the image, whichever way it goes.
    size = size_as_stored(record.size, orientation)
    return record._replace(size=size, objects=objects, upright=upright)


def _losses(source: Format, to: Format, sets: Sets) -> list[str]:
    """Says what the format that was written cannot hold."""
    everything = {record.path: record for records in sets.values() for record in records}.values()
    notes = []
    difficult = sum(item.difficult for record in everything for item in record.objects)
    ordinary = counted(difficult, "difficult or crowd object")
    if difficult and to == "yolo":
        notes.append(f"{ordinary} {are(difficult)} ordinary now: YOLO cannot mark them")
    if difficult and source == "voc" and to == "coco":
        notes.append(
            f"now crowd regions (iscrowd), no longer trained on: {counted(difficult, 'difficult object')}"
        )
    if difficult and source == "coco" and to == "voc":
        notes.append(
            f"now difficult objects, still ignored, but trained on: {counted(difficult, 'crowd region')}"
        )
    if to == "voc":
        moves = [_move(item.box, record.size) for record in everything for item in record.objects]
        moved = [move for move in moves if move > 1e-3]
        if moved:
            notes.append(
                f"{len(moved)} of {len(moves)} boxes moved by up to {max(moved):.2f} pixels: VOC's corners "
                "are whole pixels"
            )
    return notes


def _move(box: Box, size: tuple[int, int]) -> float:
    """Distance, in pixels, by which rounding to VOC's corners moves a box."""
    rounded = from_voc_corners(whole_voc_corners(box, size))
    return max(abs(a - b) for a, b in zip(box, rounded, strict=True))
