"""From one annotation format to another: VOC, COCO and YOLO, in any direction."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from detection.bounds import Division
from detection.data.classes import (
    OtherClasses,
    refuse_misspelt,
    say_left_out,
    select_classes,
)
from detection.data.conversion_source import Format, read_set
from detection.data.formats.layouts import Split
from detection.data.formats.records import SPLITS, Box, ImageRecord
from detection.data.formats.voc import from_voc_corners, whole_voc_corners
from detection.data.image_files import read_header
from detection.data.learned import in_two_splits
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
from detection.system.files import folder_written_whole, refuse_unwritable
from detection.system.wording import are, counted, in_a_list, some_of

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
            name are joined. None takes all that the set lists.
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
    source, sets, names, told = read_set(source, Path(root).expanduser(), splits, split, layout)
    if split is not None:
        sets = _divide(sets, split, seed, Path(root).expanduser())
    sets, names, notes = _select(sets, names, classes, other_classes)
    sets, num_turned = _turn_boxes(sets, upright=to != "voc")
    with folder_written_whole(target) as fresh:
        WRITERS[to](fresh, sets, names, link)
    counts = ", ".join(f"{name} {counted(len(records), 'image')}" for name, records in sets.items())
    if num_turned:
        now = "pixels as stored, as VOC's are" if to == "voc" else "image as shown, as COCO's and YOLO's are"
        notes.append(
            f"stored turned (EXIF): {counted(num_turned, 'image')}, with boxes that are now of the {now}"
        )
    first = f"{target}: {counts}; {counted(len(names), 'class')}"
    notes += _losses(source, to, sets, names)
    notes += in_two_splits({name: [record.file for record in records] for name, records in sets.items()})
    return [first, *told, *notes]


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


def _losses(source: Format, to: Format, sets: Sets, names: Sequence[str]) -> list[str]:
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
        used = {item.name for record in everything for item in record.objects}
        if unused := [in_a_list(name) for name in names if name not in used]:
            notes.append(
                f"not in VOC, which lists no classes: {some_of(unused)}, without an object; a "
                f"training that names all {len(names)} in data.classes has {'them' if unused[1:] else 'it'}"
            )
    return notes


def _move(box: Box, size: tuple[int, int]) -> float:
    """Distance, in pixels, by which rounding to VOC's corners moves a box."""
    rounded = from_voc_corners(whole_voc_corners(box, size))
    return max(abs(a - b) for a, b in zip(box, rounded, strict=True))
