"""Images that occur more than once: by id, by file and by content, within a split and across splits."""

from collections import defaultdict
from collections.abc import Sequence

from detection.inspection.defects import InspectedImage
from detection.inspection.findings import Finding

TRAIN = "train"


def find_repeats(images: Sequence[InspectedImage]) -> list[Finding]:
    """Finds images that are trained on and evaluated on, and images with the same pixels.

    Args:
        images: of all splits, in their order. ``val`` and ``test`` may share images with each other.
    """
    return [*_in_two_splits(images), *_same_pixels(images)]


def _in_two_splits(images: Sequence[InspectedImage]) -> list[Finding]:
    trained_on = {image.record.image_file for image in images if image.record.split == TRAIN}
    findings = []
    for image in images:
        record = image.record
        if record.split != TRAIN and record.image_file in trained_on:
            message = (
                f"is in train and in {record.split}: a model would be judged by what it has learned. Take it "
            )
            message += "off one of the lists"
            findings.append(Finding("in-two-splits", record.file, message, record.image_id))
    return findings


def _same_pixels(images: Sequence[InspectedImage]) -> list[Finding]:
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in images:
        if image.facts is not None:
            groups[image.facts.digest].append(image)
    findings = []
    for group in groups.values():
        seen = {group[0].record.image_file}
        first = group[0].record
        for image in group[1:]:
            record = image.record
            if record.image_file in seen:
                continue
            seen.add(record.image_file)
            message = f"({record.split}) has the same pixels as {first.image_file} ({first.split}): "
            if TRAIN in (first.split, record.split) and first.split != record.split:
                kind = "duplicate-image-across-splits"
                message += "a model would be judged by what it has learned. Remove one of them"
            else:
                kind = "duplicate-image"
                message += "remove one of them, and keep the better boxes"
            findings.append(Finding(kind, record.image_file, message, record.image_id))
    return findings
