"""A corrected copy of a dataset, in VOC's layout. The original is never touched."""

import shutil
from pathlib import Path

from PIL import Image

from detection.data.image_files import decode_image
from detection.data.image_header import UPRIGHT
from detection.data.writers.sets import columns_of, unique_stems
from detection.data.writers.voc_writer import write_voc
from detection.inspection.images import InspectedImage
from detection.inspection.selection import Selection
from detection.system.files import folder_written_whole

LIST_OF_CHANGES = "changes.txt"


def write_fixed_copy(selection: Selection, output: Path) -> list[str]:
    """Writes the usable images and objects as one VOC-style folder.

    What is left out: images that cannot be read or have no annotation, images with boxes that were drawn on
    another size, images that occur again (of an image of train and val, the one of val is kept), and wrong,
    repeated or unknown objects. Boxes are cut at the borders, and every class gets one spelling. Of each
    object the class, ``difficult`` and the box are kept.

    Args:
        selection: what to write; its changes go to ``changes.txt``.
        output: the folder to make.

    Returns:
        All changes: those, and the images that have another name in the copy.

    Raises:
        FileExistsError: the folder exists.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists already: choose another output=... or move it away")
    lists: dict[str, list[str]] = {split: [] for split in selection.splits}
    changes = list(selection.changes)
    with folder_written_whole(output) as folder:
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        names = unique_stems(group[0].record.path for group in selection.images)
        for group in selection.images:
            record = group[0].record
            name = names[record.path]
            for image in group:
                lists[image.split].append(name)
            suffix = _copy_image(group[0], folder / "JPEGImages" / name)
            if name + suffix != record.path.name:
                changes.append(f"{record.path}: written as {name}{suffix}")
            boxes, labels, difficult = columns_of(record, selection.classes)
            write_voc(
                folder / "Annotations" / f"{name}.xml", name + suffix, record.size, boxes, labels,
                selection.classes, difficult=difficult, whole=False,
            )  # fmt: skip
        for split, ids in lists.items():
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(
                "".join(f"{name}\n" for name in ids), encoding="utf-8"
            )
        lines = "".join(f"{line}\n" for line in changes)
        (folder / LIST_OF_CHANGES).write_text(lines, encoding="utf-8", errors="surrogateescape")
    return changes


def _copy_image(image: InspectedImage, target: Path) -> str:
    """Copies an image and returns its suffix; turns it where its boxes are of the image as shown."""
    assert image.facts is not None
    path = image.record.path
    if not image.record.upright or image.facts.header.orientation in (0, UPRIGHT):
        shutil.copyfile(path, target.with_name(target.name + path.suffix))
        return path.suffix
    Image.fromarray(decode_image(path, upright=True)).save(target.with_name(f"{target.name}.png"))
    return ".png"
