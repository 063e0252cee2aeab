"""A corrected copy of a dataset, in VOC's layout. The original is never touched."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, ImageOps

from detection.data.corners import CORNERS, to_voc_corners
from detection.data.index import IMAGE_SUFFIXES
from detection.inspection.defects import InspectedImage
from detection.inspection.images import UPRIGHT
from detection.inspection.inspect import Inspection
from detection.inspection.records import ObjectRecord
from detection.inspection.repeats import TRAIN

CHANGES = "changes.txt"


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
    kept, changes = _select(inspection.images)
    lists: dict[str, list[str]] = {split: [] for split in inspection.splits}
    # Written aside and renamed when whole: an interrupted run leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as temporary:
        folder = Path(temporary) / output.name
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        names = _unique_names([image for group in kept for image in group])
        for group in kept:
            name = names[group[0].record.image_file]
            for image in group:
                lists[image.record.split].append(name)
            suffix = _copy_image(group[0], folder / "JPEGImages" / name)
            (folder / "Annotations" / f"{name}.xml").write_text(
                _to_xml(name + suffix, group[0]), encoding="utf-8"
            )
            changes += _object_changes(group[0])
        for split, ids in lists.items():
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(
                "".join(f"{name}\n" for name in ids), encoding="utf-8"
            )
        (folder / CHANGES).write_text("".join(f"{line}\n" for line in changes), encoding="utf-8")
        folder.rename(output)
    return changes


def _select(images: Sequence[InspectedImage]) -> tuple[list[list[InspectedImage]], list[str]]:
    """The images to keep, each once per list (val and test may share), and what is left out."""
    changes: list[str] = []
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in images:
        if image.usable and image.facts is not None:
            groups[image.facts.digest].append(image)
        else:
            changes.append(f"{image.record.image_file} ({image.record.split}): left out, {_why(image)}")
    kept = []
    for group in groups.values():
        # Images for evaluation come first: figures stay comparable with those of the original set.
        first = next((image for image in group if image.record.split != TRAIN), group[0])
        same = [image for image in group if image.record.image_file == first.record.image_file]
        splits: dict[str, InspectedImage] = {}
        for image in same:
            if image.record.split != TRAIN or first.record.split == TRAIN:
                splits.setdefault(image.record.split, image)
        kept.append(list(splits.values()))
        for image in group:
            if not any(image is other for other in splits.values()):
                where = f"{first.record.image_file} ({first.record.split})"
                changes.append(
                    f"{image.record.image_file} ({image.record.split}): left out, it repeats {where}"
                )
    return kept, changes


def _why(image: InspectedImage) -> str:
    if image.record.image is None:
        return "there is no image"
    if image.facts is None:
        return "the image cannot be decoded"
    return "its annotation cannot be read" if not image.record.annotated else "its boxes are of another size"


def _unique_names(images: Sequence[InspectedImage]) -> dict[str, str]:
    """A name for each image file: its id, with a number where folders share ids."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for image in images:
        record = image.record
        if record.image_file in names:
            continue
        stem = record.image_id.replace("/", "_")
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())
        names[record.image_file] = name
    return names


def _copy_image(image: InspectedImage, target: Path) -> str:
    """Copies an image and returns its suffix; converts what VOC's layout cannot hold."""
    assert image.record.image is not None
    assert image.facts is not None
    suffix = image.record.image.suffix.lower()
    turned = image.record.upright and image.facts.orientation not in (0, UPRIGHT)
    if suffix in IMAGE_SUFFIXES and not turned:
        shutil.copyfile(image.record.image, target.with_name(target.name + suffix))
        return suffix
    with Image.open(image.record.image) as picture:
        shown = ImageOps.exif_transpose(picture) if turned else picture
        shown.convert("RGB").save(target.with_name(f"{target.name}.png"))
    return ".png"


def _to_xml(filename: str, image: InspectedImage) -> str:
    height, width = image.size
    lines = [
        "<annotation>",
        f"  <filename>{escape(filename)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for item in image.objects:
        assert item.box is not None
        written = zip(CORNERS, to_voc_corners(item.box), strict=True)
        corners = [f"<{tag}>{value:.10g}</{tag}>" for tag, value in written]
        lines += [
            "  <object>",
            f"    <name>{escape(str(item.name))}</name>",
            f"    <difficult>{int(item.difficult)}</difficult>",
            f"    <bndbox>{''.join(corners)}</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _object_changes(image: InspectedImage) -> list[str]:
    record = image.record
    kept = {item.number: item for item in image.objects}
    changes = []
    if record.declared_size not in (None, image.size):
        changes.append(f"{record.file}: size corrected to {image.size[1]}x{image.size[0]}")
    for before in record.pixel_objects(image.size):
        who = f"{record.file}: object {before.number} ({before.name})"
        after = kept.get(before.number)
        if after is None:
            changes.append(f"{who} left out, {_why_not(before, image)}")
            continue
        if after.name != before.name:
            changes.append(f"{who} renamed to {after.name}")
        if after.box != before.box:
            changes.append(f"{who} cut at the border of the image")
    return changes


def _why_not(item: ObjectRecord, image: InspectedImage) -> str:
    if item.name is None or item.box is None:
        return "it has no class or no box"
    own = [finding.kind for finding in image.findings if finding.object == item.number]
    dropped = {
        "empty-box": "its box is empty",
        "box-outside": "it lies outside",
        "duplicate-box": "it is repeated",
    }
    return next((dropped[kind] for kind in own if kind in dropped), "its class is unknown")
