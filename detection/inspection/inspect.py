"""The inspection of a dataset: every image is decoded once, every check is made."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from detection.data.classes import declared_classes
from detection.data.datamodule import DetectionDataModule
from detection.data.formats.findings import SEVERITIES, Finding
from detection.data.formats.judging import judged
from detection.data.formats.records import SPLITS, ImageRecord, Reading
from detection.data.image_files import ImageError
from detection.inspection.class_names import resolve_class_names
from detection.inspection.duplicates import TRAIN, find_repeats
from detection.inspection.images import ImageFacts, InspectedImage, inspect_image, read_facts
from detection.system.wording import counted, some_of


class Inspection(NamedTuple):
    """What was found out about a dataset."""

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    """In label order."""
    images: list[InspectedImage]
    """Of all splits. Their objects carry the names of `classes`; those of unknown classes are left out."""
    findings: list[Finding]
    """Errors first, then by kind and file. Files are named relative to the root."""
    root: Path
    """The folder of the dataset."""
    notes: list[str]
    """What training says of the set: how its layout was read, what was set apart."""

    def count(self, severity: str) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)


def inspect_dataset(
    data: DetectionDataModule, root: str, min_side: float = 4, workers: int = 4
) -> Inspection:
    """Decodes all images and makes all checks.

    Args:
        data: says where the images come from.
        root: findings name files relative to this folder, or to that of this file.
        min_side: boxes narrower or lower than this many pixels of the file are reported.
        workers: threads that decode.

    Raises:
        FileNotFoundError: there is no dataset.
    """
    # Where there are no images for a test, it is made on those of the validation.
    splits = [split for split in SPLITS if split != "test" or not data.test_is_val]
    readings: dict[str, Reading] = {split: judged(data.read(split)) for split in splits}
    declared = data.wanted_classes or declared_classes(readings.values())
    names = resolve_class_names(
        {split: reading.records for split, reading in readings.items()},
        declared,
        data.other_classes == "skip",
    )
    facts = _read_images([record for reading in readings.values() for record in reading.records], workers)
    images, findings = [], [*names.findings, *data.unlisted()]
    for split, reading in readings.items():
        blamed = {finding.image for finding in reading.findings}
        findings += reading.findings
        for record in reading.records:
            image, found = inspect_image(split, record, facts[record.path, record.upright], min_side)
            images.append(image._replace(record=_rename(image.record, names.meaning)))
            findings += found
            if not record.objects and record.image_id not in blamed:
                has = "has" if Path(record.source).is_file() else "does not exist, so its image has"
                message = (
                    f"{has} no objects: fine if that is so, since such images are trained on as background"
                )
                findings.append(Finding("no-objects", record.source, message, record.image_id))
    findings += [*find_repeats(images), *_check_splits(readings, names.classes, images)]
    folder = Path(root).expanduser()
    folder = folder.parent if folder.is_file() else folder
    # An image of val and test is inspected for each, but reported once.
    shown = [_shown(finding, folder) for finding in dict.fromkeys(findings)]
    shown.sort(key=lambda item: (SEVERITIES.index(item.severity), item.kind, item.file, item.object or 0))
    notes = [f"{split}: {note}" for split, reading in readings.items() for note in reading.notes]
    return Inspection(tuple(splits), names.classes, images, shown, folder, notes)


def _read_images(
    records: Sequence[ImageRecord], workers: int
) -> dict[tuple[Path, bool], ImageFacts | ImageError]:
    unique = {(record.path, record.upright): record for record in records}
    # Threads suffice: decoding and hashing release the interpreter's lock.
    with ThreadPoolExecutor(workers) as pool:
        facts = pool.map(read_facts, unique.values())
        title = f"Reading {counted(len(unique), 'image')}"
        results = track(facts, title, total=len(unique), disable=not unique)
        return dict(zip(unique, results, strict=True))


def _rename(record: ImageRecord, meaning: Mapping[str, str | None]) -> ImageRecord:
    named = [(item, meaning[item.name]) for item in record.objects]
    return record._replace(
        objects=tuple(item._replace(name=name) for item, name in named if name is not None)
    )


def _check_splits(
    readings: Mapping[str, Reading], classes: Sequence[str], images: Sequence[InspectedImage]
) -> list[Finding]:
    findings = []
    for split, reading in readings.items():
        counts = Counter(
            item.name for image in images if image.split == split for item in image.record.objects
        )
        absent = [repr(name) for name in classes if not counts[name]]
        if split == TRAIN and reading.records and not counts.total():
            message = "has nothing to learn: none of its images has an object to train on; annotate some"
            findings.append(Finding("nothing-to-learn", reading.file, message))
        elif absent and reading.records:
            consequence = "cannot be learned" if split == TRAIN else "have no AP there"
            message = (
                f"has no object of {some_of(absent)} in {split}, which {consequence}: add some, or drop "
                "these "
            )
            findings.append(Finding("class-missing-in-split", reading.file, f"{message}classes"))
    return findings


def _shown(finding: Finding, root: Path) -> Finding:
    """Names files relative to the dataset's root where they lie there."""
    return finding._replace(file=below(root, finding.file), message=below(root, finding.message))


def below(root: Path, text: str) -> str:
    """A path, or a sentence with paths, without a folder at their beginning.

    Args:
        root: the folder.
        text: in which it is left out; not where a longer name ends in it.
    """
    return re.sub(rf"(?<![^\s'\"(\[,;:=]){re.escape(str(root))}/", "", text)
