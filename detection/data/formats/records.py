"""What annotation files say, in one form for all formats."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from detection.data.formats.findings import Finding
from detection.system.wording import escaped

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Box = tuple[float, float, float, float]
"""``xyxy`` in pixels, continuous edges: an object in the first three columns reaches from 0 to 3."""


class AnnotationError(ValueError):
    """Annotations that cannot be trained on; the message names the files, the objects and the remedy."""


class ObjectRecord(NamedTuple):
    """One annotated object."""

    name: str
    box: Box
    difficult: bool
    """Ignored by the metric: VOC's ``difficult``, COCO's ``iscrowd``."""
    number: int = 0
    """What a finding calls it: see `Finding.object`."""
    area: float | None = None
    """In pixels, where the annotation says it: COCO's, of the segment. None is the area of the box."""


class ImageRecord(NamedTuple):
    """One annotated image."""

    image_id: str
    """Names the image in its set: two images never share it."""
    file: str
    """The image itself; a string: a `Path` for each would take a third of the time to read a known set."""
    size: tuple[int, int]
    """``(height, width)`` of the image that the boxes belong to."""
    objects: tuple[ObjectRecord, ...]
    """Inside of the image. May be empty."""
    source: str
    """The file with its annotation."""
    noun: Literal["object", "line", "annotation"] = "object"
    """What messages call an object of it."""
    upright: bool = False
    """Whether boxes belong to the image as it is shown, turned as its EXIF orientation asks, instead of to
    its pixels as stored."""

    @property
    def path(self) -> Path:
        """The file of the image."""
        return Path(self.file)

    def name_of(self, number: int) -> str:
        """What messages call an object: ``object 3``; an annotation is one of many images."""
        image = f" of image {os.path.basename(self.file)}" if self.noun == "annotation" else ""
        return f"{self.noun} {number}{image}"


@dataclass
class Reading:
    """All that the files of one split say."""

    where: str
    """The split, for messages: ``the images of VOC2007/train``."""
    file: str = ""
    """What lists its images."""
    records: list[ImageRecord] = field(default_factory=list)
    """Every image that was found. Objects that make no sense are not among its objects, but findings."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the user should know about how it was read."""
    classes: tuple[str, ...] | None = None
    """Class names that the files declare, in label order; None for formats that declare none."""
    category_ids: dict[str, int] = field(default_factory=dict)
    """COCO's numbers of the classes, by name; empty for other formats."""
    num_judged: int = 0
    """How many of the records came through ``judging.keep_inside``; ``judging.judged`` sees to the others."""

    def add(
        self,
        kind: str,
        file: object,
        message: str,
        image: str = "",
        number: int | None = None,
        box: Box | None = None,
    ) -> None:
        """Adds a finding."""
        self.findings.append(Finding(kind, str(file), escaped(message), image, number, box))
