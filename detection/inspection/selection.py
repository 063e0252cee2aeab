"""What of a dataset a corrected copy keeps, and what becomes of the rest."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.data.classes import printable
from detection.data.formats.judging import by
from detection.data.formats.records import ObjectRecord
from detection.inspection.duplicates import TRAIN
from detection.inspection.images import InspectedImage
from detection.inspection.inspect import Inspection, below
from detection.system.wording import folded

# What becomes of that which an error, or a warning, is about.
CHANGES = {
    "missing-list": "left out, it is missing",
    "empty-split": "left out, it is empty",
    "incomplete-copy": "kept, but no longer as PASCAL VOC itself",
    "missing-annotation": "left out, there is no annotation",
    "broken-annotation": "left out, it cannot be read",
    "missing-tag": "left out, it is not complete",
    "bad-coordinate": "left out, it has no box",
    "missing-image": "left out, there is no image",
    "unreadable-image": "left out, the image cannot be decoded",
    "truncated-image": "left out, the image cannot be decoded",
    "image-of-another-size": "left out, the annotation is of an image of another size",
    "empty-box": "left out, its box is empty",
    "box-outside": "left out, it lies outside",
    "box-of-another-size": "left out, its boxes are of another size",
    "unknown-class": "left out, its class is unknown",
    "misspelt-class": "left out of the classes that no object has",
    "bad-class-name": "each class gets one name that training takes; the lines below say which",
    "bad-file-name": "left out, no list can hold the name of its image",
    "unknown-image": "left out, it is of no image",
    "listed-twice": "used once, or left out where it is not clear which is meant",
    "shared-labels": "left out, its label file is that of another image, too",
    "box-past-border": "cut at the border of the image",
}
# Mistakes of a whole set which nobody but its owner can correct.
BEYOND_REPAIR = ("bad-coordinate", "nothing-to-learn")


class Selection(NamedTuple):
    """What a corrected copy holds."""

    images: list[list[InspectedImage]]
    """Each image once for every split that lists it; its objects carry the names of `classes`."""
    classes: list[str]
    splits: list[str]
    changes: list[str]
    """A line for each thing that is left out or changed."""


def select(inspection: Inspection) -> Selection:
    """Chooses what can be trained on.

    Args:
        inspection: of the dataset.

    Raises:
        ValueError: nothing is left to train on or to validate on, or a whole set is wrong in a way that
            only its owner can correct.
    """
    for finding in inspection.findings:
        if finding.kind in BEYOND_REPAIR and not finding.image and finding.object is None:
            raise ValueError(f"No copy can put this right: {finding.sentence}")
    changes = list(_changes_of_findings(inspection))
    groups, repeats = _without_repeats(inspection)
    names = _writable_names(inspection.classes)
    changes += [f"class {old!r} renamed to {new!r}" for old, new in names.items() if new != old]
    renamed = [[_with_objects(image, names) for image in group] for group in groups]
    learned = {
        item.name
        for group in renamed
        for image in group
        if image.split == TRAIN
        for item in image.record.objects
    }
    kept = [[_with_objects(image, {name: name for name in learned}) for image in group] for group in renamed]
    for before, after in zip(renamed, kept, strict=True):
        changes += _changes_of_objects(before[0], after[0], inspection.root, names)
    splits, without = _splits_left(inspection, kept)
    if not learned:
        raise ValueError(
            "No copy can put this right: no image of train has an object that can be used; annotate some"
        )
    # In the order of the set, where it has one: it numbers the labels.
    classes = list(dict.fromkeys(names[name] for name in inspection.classes))
    changes += [
        f"class {name!r}: left out, no object of train has it" for name in classes if name not in learned
    ]
    return Selection(
        kept, [name for name in classes if name in learned], splits, [*changes, *without, *repeats]
    )


def _splits_left(
    inspection: Inspection, kept: Sequence[Sequence[InspectedImage]]
) -> tuple[list[str], list[str]]:
    """The splits that have images, and what to say of the others: only a test can be done without."""
    there = {image.split for group in kept for image in group}
    for split in inspection.splits:
        if split not in there and split != "test":
            raise ValueError(
                f"No copy can put this right: no image of {split} can be used; see what is wrong above, and "
                f"give {split} images with annotations"
            )
    left_out = [
        f"{split}: left out, none of its images can be used"
        for split in inspection.splits
        if split not in there
    ]
    return [split for split in inspection.splits if split in there], left_out


def _changes_of_findings(inspection: Inspection) -> Iterator[str]:
    """What becomes of that which each finding is about."""
    images = {_key(image, inspection.root): image for image in inspection.images}
    read = {(source, item.number) for (source, _), image in images.items() for item in image.read.objects}
    for finding in inspection.findings:
        if finding.kind == "size-mismatch":
            size = images[finding.file, finding.image].record.size
            yield f"{finding.file}: size corrected to {by(size)}"
        elif finding.kind == "unknown-class" and (finding.file, finding.object) in read:
            continue  # is told with the objects, some of which only get another name
        elif finding.kind in CHANGES:
            colon = "" if finding.object is not None else ":"
            yield f"{finding.place}{colon} {CHANGES[finding.kind]}"


def _key(image: InspectedImage, root: Path) -> tuple[str, str]:
    """How findings name an image: by the file with its annotation, and its id."""
    return below(root, str(image.record.source)), image.record.image_id


def _without_repeats(inspection: Inspection) -> tuple[list[list[InspectedImage]], list[str]]:
    """The images that can be used, each once per list (val and test may share), and why others are not."""
    errors = [item for item in inspection.findings if item.severity == "error" and item.image]
    wrong = {
        (finding.file, finding.image)
        for finding in errors
        if finding.object is None or finding.kind == "box-of-another-size"
    }
    wrong_objects = {(finding.file, finding.image) for finding in errors if finding.object is not None}
    kept, changes = [], []
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in inspection.images:
        key = _key(image, inspection.root)
        if image.facts is None or key in wrong:
            continue
        if key in wrong_objects and not image.record.objects:  # what it shows would be background
            changes.append(f"{key[0]} ({image.split}): left out, none of its objects can be used")
            continue
        groups[image.facts.digest].append(image)
    for group in groups.values():
        # Images for evaluation come first: metrics stay comparable with those of the original set.
        first = next((image for image in group if image.split != TRAIN), group[0])
        splits: dict[str, InspectedImage] = {}
        for image in group:
            if image.record.path == first.record.path and (image.split != TRAIN or first.split == TRAIN):
                splits.setdefault(image.split, image)
        kept.append(list(splits.values()))
        for image in group:
            if not any(image is other for other in splits.values()):
                what, other = (below(inspection.root, str(i.record.path)) for i in (image, first))
                changes.append(f"{what} ({image.split}): left out, it repeats {other} ({first.split})")
    return kept, changes


def _writable_names(classes: Sequence[str]) -> dict[str, str]:
    """For each class the name that stands for it: its own, or one that training takes."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for name in classes:
        plain = "".join(letter if printable(letter) else " " for letter in name)
        plain = plain.replace("${", "$ {").strip() or "class"
        number, free = 1, plain
        while plain != name and folded(free) in taken:
            number += 1
            free = f"{plain} {number}"
        names[name] = free
        taken.add(folded(free))
    return names


def _with_objects(image: InspectedImage, names: Mapping[str, str]) -> InspectedImage:
    """An image with its objects of some classes, under other names."""
    objects = tuple(
        item._replace(name=names[item.name]) for item in image.record.objects if item.name in names
    )
    return image._replace(record=image.record._replace(objects=objects))


def _changes_of_objects(
    before: InspectedImage, after: InspectedImage, root: Path, names: Mapping[str, str]
) -> Iterator[str]:
    """What becomes of the objects of an image that is kept."""
    known = {item.number: item for item in before.record.objects}
    kept: dict[int, ObjectRecord] = {item.number: item for item in after.record.objects}
    for item in before.read.objects:
        who = f"{below(root, str(before.read.source))}: {before.read.name_of(item.number)} ({item.name})"
        if item.number in kept:
            name = kept[item.number].name
            if names.get(item.name, item.name) != name:
                yield f"{who} renamed to {name}"
        elif item.number in known:
            yield f"{who} left out, no image of train shows its class"
        else:
            repeated = any(other.box == item.box and other.number < item.number for other in known.values())
            yield f"{who} left out, {'it is repeated' if repeated else 'its class is unknown'}"
