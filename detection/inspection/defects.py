"""What is wrong with one image and its objects, given the decoded file."""

from typing import NamedTuple

from detection.data.records import cut_at_borders
from detection.inspection.findings import Finding
from detection.inspection.images import UPRIGHT, ImageError, ImageFacts
from detection.inspection.records import Box, ImageRecord, ObjectRecord

TOLERANCE = 1.0  # pixels; sets that count from 0 where VOC counts from 1, and roundings, are no mistakes


class InspectedImage(NamedTuple):
    """An image after inspection."""

    record: ImageRecord
    facts: ImageFacts | None
    """None if it cannot be decoded."""
    size: tuple[int, int]
    """``(height, width)`` of the image that the boxes belong to; zeros if it cannot be decoded."""
    objects: tuple[ObjectRecord, ...]
    """Those to learn from: named, with a box, in pixels and cut at the borders, without repeats."""
    findings: list[Finding]

    @property
    def usable(self) -> bool:
        """Whether image and annotation could be read and belong together."""
        foreign = any(finding.kind == "box-of-another-size" for finding in self.findings)
        return self.facts is not None and self.record.annotated and not foreign


def inspect_image(
    record: ImageRecord, facts: ImageFacts | ImageError | None, min_side: float
) -> InspectedImage:
    """Checks one image and its objects.

    Args:
        record: what the annotation says.
        facts: of the decoded file; None where there is none.
        min_side: boxes narrower or lower than this many pixels of the file are reported.
    """
    if not isinstance(facts, ImageFacts):
        findings = []
        if facts is not None:
            message = f"{facts}: replace the file, or take the image off the lists"
            findings.append(Finding(facts.kind, record.image_file, message, record.image_id))
        return InspectedImage(record, None, (0, 0), (), findings)
    size = facts.size_of(record.upright)
    findings = [*_check_size(record, size), *_check_pixels(record, facts)]
    kept: list[ObjectRecord] = []
    for item in record.pixel_objects(size):
        if item.box is None:
            continue
        found = _check_box(record, item, item.box, size, min_side)
        clipped = cut_at_borders(item.box, size)
        twin = next((other for other in kept if other.box == clipped), None)
        if twin is not None and found is None:
            found = _repeated(item, twin)
        if found is not None:
            findings.append(Finding(found[0], record.file, found[1], record.image_id, item.number))
        repeated = twin is not None and twin.name == item.name
        if item.name is not None and clipped is not None and not repeated:
            kept.append(item._replace(box=clipped))
    if record.annotated and not record.objects:
        message = "has no objects: fine if that is so, since such images are trained on as background"
        findings.append(Finding("no-objects", record.file, message, record.image_id))
    return InspectedImage(record, facts, size, tuple(kept), findings)


def _check_size(record: ImageRecord, size: tuple[int, int]) -> list[Finding]:
    if record.declared_size in (None, size):
        return []
    message = (
        f"says that {record.image_file} has {_by(record.declared_size)} pixels, but it has {_by(size)}: "
    )
    message += "if the boxes fit the image correct the size, else bring the image that was annotated"
    return [Finding("size-mismatch", record.file, message, record.image_id)]


def _check_pixels(record: ImageRecord, facts: ImageFacts) -> list[Finding]:
    findings = []

    def add(kind: str, message: str) -> None:
        findings.append(Finding(kind, record.image_file, message, record.image_id))

    if facts.orientation not in (0, UPRIGHT):
        meant = "image as it is shown" if record.upright else "pixels as stored"
        message = (
            f"has EXIF orientation {facts.orientation}: viewers turn it, and boxes are read as those of the "
        )
        add(
            "exif-orientation",
            f"{message}{meant}. Look at the boxes; best turn the pixels and remove the tag",
        )
    if facts.mode != "RGB":
        kinds = {
            "L": "grey",
            "CMYK": "CMYK",
            "P": "a palette image",
            "RGBA": "transparent",
            "1": "black and white",
        }
        what = (
            "16 bits deep" if "I" in facts.mode or ";16" in facts.mode else kinds.get(facts.mode, facts.mode)
        )
        message = (
            f"is {what} (Pillow's mode {facts.mode}): it is converted to 8-bit RGB when read; convert it once"
        )
        add("not-rgb", message + " if its colours matter")
    return findings


def _check_box(
    record: ImageRecord, item: ObjectRecord, box: Box, size: tuple[int, int], min_side: float
) -> tuple[str, str] | None:
    """The kind and the message of the worst thing about a box."""
    x1, y1, x2, y2 = box
    who = f"object {item.number} ({item.name}) with box {item.written}"
    if x2 <= x1 or y2 <= y1:
        return "empty-box", f"{who} is empty or inverted: swap or correct its corners, or remove it"
    height, width = size
    past = max(-x1, -y1, x2 - width, y2 - height)
    if past > TOLERANCE and record.declared_size not in (None, size):
        message = f"{who} does not fit the image of {_by(size)} pixels, and was drawn on one of "
        return "box-of-another-size", (
            f"{message}{_by(record.declared_size)}: was the image resized or turned later? Scale or turn its "
            "boxes likewise"
        )
    if cut_at_borders(box, size) is None:
        return "box-outside", f"{who} lies outside the image of {_by(size)} pixels: correct or remove it"
    if past > TOLERANCE:
        message = (
            f"{who} reaches {past:g} pixels past the image of {_by(size)}: it is cut there; correct the box"
        )
        return "box-past-border", message
    if min(x2 - x1, y2 - y1) < min_side:
        message = (
            f"{who} has {x2 - x1:g}x{y2 - y1:g} pixels, below min_side={min_side:g}: correct it if that is"
        )
        return "small-box", message + " a slip, or mark it difficult"
    return None


def _repeated(item: ObjectRecord, twin: ObjectRecord) -> tuple[str, str]:
    if item.name == twin.name:
        return "duplicate-box", f"object {item.number} ({item.name}) repeats object {twin.number}: remove one"
    return "duplicate-box", (
        f"object {item.number} ({item.name}) has exactly the box of object {twin.number} ({twin.name}): "
        "remove the one with the wrong class"
    )


def _by(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[1]}x{size[0]}"
