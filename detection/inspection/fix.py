"""A corrected copy of a dataset, in VOC's layout. The original is never touched."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from detection.data.formats.findings import Finding
from detection.data.formats.judging import by
from detection.data.image_files import UPRIGHT, decode_image
from detection.data.writers.sets import columns_of, unique_stems
from detection.data.writers.voc_writer import write_voc
from detection.inspection.images import InspectedImage
from detection.inspection.inspect import Inspection
from detection.inspection.repeats import TRAIN

CHANGES = "changes.txt"
# Why an image is left out, by the kind of what was found.
IMAGES_LEFT_OUT = {
    "missing-annotation": "there is no annotation",
    "broken-annotation": "its annotation cannot be read",
    "missing-image": "there is no image",
    "unreadable-image": "the image cannot be decoded",
    "truncated-image": "the image cannot be decoded",
    "image-of-another-size": "the annotation is of an image of another size",
    "box-of-another-size": "its boxes are of another size",
}
OBJECT_CHANGES = {
    "missing-tag": "left out, it has no class or no box",
    "bad-coordinate": "left out, it has no box",
    "empty-box": "left out, its box is empty",
    "box-outside": "left out, it lies outside",
    "box-past-border": "cut at the border of the image",
}


def write_fixed_copy(inspection: Inspection, output: Path) -> list[str]:
    """Writes the usable images and objects as one VOC-style folder.

    What is left out: images that cannot be read or have no annotation, images with boxes that were drawn on
    another size, images that occur again (of an image of train and val, the one of val is kept), and wrong,
    repeated or unknown objects. Boxes are cut at the borders, and every class gets one spelling. Of each
    object the class, ``difficult`` and the box are kept.

    Args:
        inspection: of the dataset.
        output: the folder to make.

    Returns:
        One line per change; ``changes.txt`` in the folder holds them too.

    Raises:
        FileExistsError: the folder exists.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists already: choose another output=... or move it away")
    output.parent.mkdir(parents=True, exist_ok=True)
    kept, changes = _select(inspection)
    lists: dict[str, list[str]] = {split: [] for split in inspection.splits}
    # Written aside and renamed when whole: an interrupted run leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as temporary:
        folder = Path(temporary) / output.name
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        names = unique_stems(group[0].record for group in kept)
        for group in kept:
            record = group[0].record
            name = names[record.path]
            for image in group:
                lists[image.split].append(name)
            suffix = _copy_image(group[0], folder / "JPEGImages" / name)
            boxes, labels, difficult = columns_of(record, list(inspection.classes))
            write_voc(
                folder / "Annotations" / f"{name}.xml", name + suffix, record.size, boxes, labels,
                inspection.classes, difficult=difficult, whole=False,
            )  # fmt: skip
            changes += _name_changes(group[0], inspection.root)
        for split, ids in lists.items():
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(
                "".join(f"{name}\n" for name in ids), encoding="utf-8"
            )
        (folder / CHANGES).write_text("".join(f"{line}\n" for line in changes), encoding="utf-8")
        folder.rename(output)
    return changes


def _select(inspection: Inspection) -> tuple[list[list[InspectedImage]], list[str]]:
    """The images to keep, each once per list (val and test may share), and what is left out."""
    sizes = {image.record.image_id: image.record.size for image in inspection.images}
    changes = [line for finding in inspection.findings for line in _change(finding, sizes)]
    foreign = {finding.image for finding in inspection.findings if finding.kind == "box-of-another-size"}
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in inspection.images:
        if image.facts is not None and image.record.image_id not in foreign:
            groups[image.facts.digest].append(image)
    kept = []
    for group in groups.values():
        # Images for evaluation come first: figures stay comparable with those of the original set.
        first = next((image for image in group if image.split != TRAIN), group[0])
        splits: dict[str, InspectedImage] = {}
        for image in group:
            if image.record.path == first.record.path and (image.split != TRAIN or first.split == TRAIN):
                splits.setdefault(image.split, image)
        kept.append(list(splits.values()))
        for image in group:
            if not any(image is other for other in splits.values()):
                what, other = (_file(i.record.path, inspection.root) for i in (image, first))
                changes.append(f"{what} ({image.split}): left out, it repeats {other} ({first.split})")
    return kept, changes


def _change(finding: Finding, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """What becomes of that which a finding is about."""
    if finding.image and finding.kind in IMAGES_LEFT_OUT:
        return [f"{finding.file}: left out, {IMAGES_LEFT_OUT[finding.kind]}"]
    if finding.object is not None and finding.kind in OBJECT_CHANGES:
        who = (
            finding.message.partition(" with box")[0]
            if " with box" in finding.message
            else f"{finding.object}"
        )
        return [f"{finding.file}: {who} {OBJECT_CHANGES[finding.kind]}"]
    if finding.kind == "size-mismatch":
        return [f"{finding.file}: size corrected to {by(sizes[finding.image])}"]
    return []


def _copy_image(image: InspectedImage, target: Path) -> str:
    """Copies an image and returns its suffix; turns it where its boxes are of the image as shown."""
    assert image.facts is not None
    path = image.record.path
    if not image.record.upright or image.facts.header.orientation in (0, UPRIGHT):
        shutil.copyfile(path, target.with_name(target.name + path.suffix))
        return path.suffix
    Image.fromarray(decode_image(path, upright=True)).save(target.with_name(f"{target.name}.png"))
    return ".png"


def _name_changes(image: InspectedImage, root: Path) -> list[str]:
    kept = {item.number: item for item in image.record.objects}
    changes = []
    for before in image.read.objects:
        who = f"{_file(image.read.source, root)}: {image.read.name_of(before.number)} ({before.name})"
        after = kept.get(before.number)
        if after is not None and after.name != before.name:
            changes.append(f"{who} renamed to {after.name}")
        elif after is None:
            repeated = any(item.box == before.box and item.number < before.number for item in kept.values())
            changes.append(f"{who} left out, {'it is repeated' if repeated else 'its class is unknown'}")
    return changes


def _file(path: Path | str, root: Path) -> str:
    return str(path).replace(f"{root}/", "")
