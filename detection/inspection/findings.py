"""A finding: one thing that is wrong, or worth knowing, about a dataset."""

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# An error stops training or makes its figures wrong; a warning is probably a mistake; a note is good to know.
KINDS: dict[str, Severity] = {
    "missing-list": "error",
    "empty-split": "error",
    "missing-annotation": "error",
    "broken-annotation": "error",
    "missing-tag": "error",
    "bad-coordinate": "error",
    "missing-image": "error",
    "unreadable-image": "error",
    "truncated-image": "error",
    "empty-box": "error",
    "box-outside": "error",
    "box-of-another-size": "error",
    "unknown-class": "error",
    "unknown-image": "error",
    "listed-twice": "error",
    "in-two-splits": "error",
    "box-past-border": "warning",
    "small-box": "warning",
    "duplicate-box": "warning",
    "size-mismatch": "warning",
    "filename-mismatch": "warning",
    "exif-orientation": "warning",
    "similar-class-names": "warning",
    "class-missing-in-split": "warning",
    "duplicate-image": "warning",
    "duplicate-image-across-splits": "warning",
    "missing-size": "note",
    "no-objects": "note",
    "not-rgb": "note",
    "unlisted-annotation": "note",
}


class Finding(NamedTuple):
    """One thing about one place of a dataset."""

    kind: str
    """A key of `KINDS`."""
    file: str
    """Where to look: a path, relative to the dataset's root where it lies there."""
    message: str
    """A sentence that ends with the remedy."""
    image: str = ""
    """The id of the image concerned, if it is one."""
    object: int | None = None
    """Counts the objects of a VOC annotation from 1, or the lines of a YOLO one; COCO's annotation id."""

    @property
    def severity(self) -> Severity:
        """How bad this kind of finding is."""
        return KINDS[self.kind]
