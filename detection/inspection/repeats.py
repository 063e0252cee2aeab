"""Images that occur more than once: by id, by file and by content, within a split and across splits."""

from collections import defaultdict
from collections.abc import Sequence

from detection.data.formats.findings import Finding
from detection.inspection.images import InspectedImage

TRAIN = "train"


def find_repeats(images: Sequence[InspectedImage]) -> list[Finding]:
    """Finds images that are trained on and evaluated on, and images with the same pixels.

    Args:
        images: of all splits, in their order. ``val`` and ``test`` may share images with each other.
    """
    return [*_in_two_splits(images), *_same_pixels(images)]


def _in_two_splits(images: Sequence[InspectedImage]) -> list[Finding]:
    trained_on = {image.record.path for image in images if image.split == TRAIN}
    findings = []
    for image in images:
        record = image.record
        if image.split != TRAIN and record.path in trained_on:
            message = (
                f"is in train and in {image.split}: a model would be judged by what it has learned. Take it "
                "off one of the lists"
            )
            findings.append(Finding("in-two-splits", record.source, message, record.image_id))
    return findings


def _same_pixels(images: Sequence[InspectedImage]) -> list[Finding]:
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in images:
        if image.facts is not None:
            groups[image.facts.digest].append(image)
    findings = []
    for first, *others in groups.values():
        seen = {first.record.path}
        for image in others:
            record = image.record
            if record.path in seen:
                continue
            seen.add(record.path)
            message = f"({image.split}) has the same pixels as {first.record.path} ({first.split}): "
            if TRAIN in (first.split, image.split) and first.split != image.split:
                kind = "duplicate-image-across-splits"
                message += "a model would be judged by what it has learned. Remove one of them"
            else:
                kind = "duplicate-image"
                message += "remove one of them, and keep the better boxes"
            findings.append(Finding(kind, str(record.path), message, record.image_id))
    return findings
