"""The inspection of a dataset: every image is decoded once, every check is made."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from detection.inspection.class_names import resolve_class_names
from detection.inspection.defects import InspectedImage, inspect_image
from detection.inspection.findings import SEVERITIES, Finding
from detection.inspection.images import ImageError, ImageFacts, read_image
from detection.inspection.records import Reading
from detection.inspection.repeats import find_repeats


class Inspection(NamedTuple):
    """What was found out about a dataset."""

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    """In label order."""
    images: list[InspectedImage]
    """Of all splits. Their objects carry the names of `classes`; those of unknown classes are left out."""
    findings: list[Finding]
    """Errors first, then by kind and file."""

    def count(self, severity: str) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)


def inspect_dataset(
    readings: Sequence[Reading],
    declared_classes: Sequence[str] | None,
    skip_others: bool = False,
    min_side: float = 4,
    workers: int = 4,
    also: Sequence[Finding] = (),
) -> Inspection:
    """Decodes all images and makes all checks.

    Args:
        readings: one per split.
        declared_classes: in label order; None to take the names found in ``train``.
        skip_others: objects of other classes are left out on purpose.
        min_side: boxes narrower or lower than this many pixels of the file are reported.
        workers: threads that decode.
        also: further findings of the readers, which belong to no split.
    """
    records = [record for reading in readings for record in reading.records]
    facts = _read_images(sorted({record.image for record in records if record.image is not None}), workers)
    images = [
        inspect_image(record, None if record.image is None else facts[record.image], min_side)
        for record in records
    ]
    names = resolve_class_names(records, declared_classes, skip_others)
    renamed = [_rename(image, names.meaning) for image in images]
    splits = tuple(reading.split for reading in readings)
    findings = [
        *(finding for reading in readings for finding in reading.findings),
        *also,
        # An image of val and test is inspected for each, but reported once.
        *dict.fromkeys(finding for image in images for finding in image.findings),
        *names.findings,
        *find_repeats(images),
        *_check_splits(readings, names.classes, renamed),
    ]
    findings.sort(key=lambda item: (SEVERITIES.index(item.severity), item.kind, item.file, item.object or 0))
    return Inspection(splits, names.classes, renamed, findings)


def _read_images(paths: Sequence[Path], workers: int) -> dict[Path, ImageFacts | ImageError]:
    # Threads suffice: decoding and hashing release the interpreter's lock.
    with ThreadPoolExecutor(workers) as pool:
        results = track(pool.map(_facts, paths), f"Reading {len(paths)} images", total=len(paths))
        return dict(zip(paths, results, strict=True))


def _facts(path: Path) -> ImageFacts | ImageError:
    try:
        return read_image(path)
    except ImageError as error:
        return error


def _rename(image: InspectedImage, meaning: dict[str, str | None]) -> InspectedImage:
    renamed = [item._replace(name=meaning[item.name]) for item in image.objects if item.name is not None]
    return image._replace(objects=tuple(item for item in renamed if item.name is not None))


def _check_splits(
    readings: Sequence[Reading], classes: Sequence[str], images: Sequence[InspectedImage]
) -> list[Finding]:
    findings = []
    for reading in readings:
        if not reading.records:
            if not any(finding.kind in ("missing-list", "broken-annotation") for finding in reading.findings):
                message = f"the split {reading.split} has no images: add some or choose other splits"
                findings.append(Finding("empty-split", reading.file, message))
            continue
        counts = Counter(
            item.name for image in images if image.record.split == reading.split for item in image.objects
        )
        absent = [repr(name) for name in classes if not counts[name]]
        if absent:
            consequence = "cannot be learned" if reading.split == "train" else "have no AP there"
            message = (
                f"{reading.split} has no object of {', '.join(absent)}, which {consequence}: add some, or "
            )
            findings.append(Finding("class-missing-in-split", reading.file, f"{message}drop these classes"))
    return findings
