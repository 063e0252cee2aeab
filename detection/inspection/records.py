"""What annotation files say, in one form for all formats and without judging it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from detection.inspection.findings import Finding

Box = tuple[float, float, float, float]


class ObjectRecord(NamedTuple):
    """One object as an annotation file has it."""

    number: int
    """What a finding calls it: see `Finding.object`."""
    name: str | None
    """The class name; None where the file has none, which its reader has reported."""
    box: Box | None
    """``xyxy``, continuous edges; None where the file has no four numbers, which its reader has reported."""
    written: str
    """The box in the file's own words, for messages."""
    difficult: bool = False


@dataclass(frozen=True)
class ImageRecord:
    """One image of one split, with its objects."""

    split: str
    image_id: str
    file: str
    """The annotation file, as findings name it."""
    image: Path | None
    """None where no file was found, which the reader has reported."""
    image_file: str
    """The image, as findings name it."""
    objects: tuple[ObjectRecord, ...]
    declared_size: tuple[int, int] | None = None
    """``(height, width)`` that the annotation says."""
    relative: bool = False
    """Whether boxes are in fractions of the image's sides instead of pixels."""
    upright: bool = False
    """Whether boxes belong to the image as it is shown, turned as its EXIF orientation asks."""
    annotated: bool = True
    """False where the annotation is missing or broken, so that nothing is known about the objects."""

    def pixel_objects(self, size: tuple[int, int]) -> tuple[ObjectRecord, ...]:
        """The objects, with boxes in pixels of the image, whose ``(height, width)`` is ``size``."""
        if not self.relative:
            return self.objects
        height, width = size
        return tuple(
            item
            if item.box is None
            else item._replace(
                box=(item.box[0] * width, item.box[1] * height, item.box[2] * width, item.box[3] * height)
            )
            for item in self.objects
        )


@dataclass
class Reading:
    """All that the files of one split say."""

    split: str
    file: str
    """What lists its images, as findings name it."""
    records: list[ImageRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What its reader could not make sense of."""
    classes: tuple[str, ...] | None = None
    """Class names that the files declare, in label order; None for formats that declare none."""

    def add(self, kind: str, file: str, message: str, image: str = "", number: int | None = None) -> None:
        """Adds a finding."""
        self.findings.append(Finding(kind, file, message, image, number))


def shown(path: Path, root: Path) -> str:
    """A path as findings name it: relative to the dataset's root where it lies there."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
