"""A finding: one thing that is wrong, or worth knowing, about a dataset."""

import re
from typing import Literal, NamedTuple

from detection.system.wording import escaped

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# An error stops training; a warning is probably a mistake; a note is good to know.
KINDS: dict[str, Severity] = {
    "missing-list": "error",
    "empty-split": "error",
    "incomplete-copy": "error",
    "missing-annotation": "error",
    "broken-annotation": "error",
    "missing-tag": "error",
    "bad-coordinate": "error",
    "missing-image": "error",
    "unreadable-image": "error",
    "truncated-image": "error",
    "image-of-another-size": "error",
    "empty-box": "error",
    "box-outside": "error",
    "box-of-another-size": "error",
    "unknown-class": "error",
    "misspelt-class": "error",
    "bad-class-name": "error",
    "bad-file-name": "error",
    "nothing-to-learn": "error",
    "unknown-image": "error",
    "listed-twice": "error",
    "shared-labels": "error",
    "in-two-splits": "warning",
    "known-empty-box": "warning",
    "box-past-border": "warning",
    "small-box": "warning",
    "duplicate-box": "warning",
    "duplicate-id": "warning",
    "size-mismatch": "warning",
    "filename-mismatch": "warning",
    "exif-orientation": "warning",
    "deep-image": "warning",
    "similar-class-names": "warning",
    "class-missing-in-split": "warning",
    "duplicate-image": "warning",
    "duplicate-image-across-splits": "warning",
    "missing-split": "warning",
    "unlisted-annotation": "warning",
    "missing-size": "note",
    "no-objects": "note",
    "not-rgb": "note",
    "unlisted-by-voc": "note",
    "unannotated-images": "note",
    "set-apart": "note",
}

# Messages that begin with a place inside of the file are set off from its name by a colon.
_PLACES = ("object ", "annotation ", "line ", "image ", "category ")
# What follows on the place.
_GOES_ON = re.compile(r" with box | (?:has|is|should|needs|lists) |: ")


class Finding(NamedTuple):
    """One thing about one place of a dataset."""

    kind: str
    """A key of `KINDS`."""
    file: str
    """Where to look."""
    message: str
    """Continues the sentence that the file's name begins, and ends with the remedy."""
    image: str = ""
    """The id of the image concerned. Where it is empty, the mistake is of the whole set, unless `object` is
    given: that is one of no image."""
    object: int | None = None
    """Counts the objects of a VOC annotation from 1, or the lines of a YOLO one; COCO's annotation id."""
    box: tuple[float, float, float, float] | None = None
    """The box concerned, ``xyxy`` in pixels, where it is not among the objects as it was written: it may be
    empty, inverted or outside of the image."""

    @property
    def severity(self) -> Severity:
        """How bad this kind of finding is."""
        return KINDS[self.kind]

    @property
    def place(self) -> str:
        """The file and what in it is concerned: ``a.xml: object 3 (cat)``."""
        within = self.message.startswith(_PLACES)
        file = escaped(self.file)
        return f"{file}: {_GOES_ON.split(self.message, maxsplit=1)[0]}" if within else file

    @property
    def sentence(self) -> str:
        """The file and what is to be said about it."""
        return f"{escaped(self.file)}{': ' if self.message.startswith(_PLACES) else ' '}{self.message}"
