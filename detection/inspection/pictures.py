"""The photos of the page: an image of the dataset with the boxes in question drawn."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from detection.data.formats.findings import Finding
from detection.data.formats.records import Box, ImageRecord
from detection.data.image_files import ImageError, decode_image
from detection.drawing.colours import VERMILION, WHITE
from detection.drawing.page import Photo
from detection.drawing.painter import Mark
from detection.drawing.photos import Crop, draw_photo
from detection.system.wording import counted

IN_QUESTION, OTHER = VERMILION, WHITE
LONGEST_NOTE = 300
"""Letters under a photo; a message may list hundreds of classes."""
_WIDTH = 320  # pixels; some 15 kB
_MAX_BOXES = 200  # of one image; a crowd of thousands takes seconds and shows nothing
_BEYOND = 0.5  # of the image's sides: how far outside of it a box is shown


def show(record: ImageRecord, note: str, numbers: Collection[int] = (), written: Sequence[Box] = ()) -> Photo:
    """Draw an image of the dataset.

    Args:
        record: as it was read.
        note: what to say about it.
        numbers: the objects in question.
        written: boxes in question that are not among its objects.

    Returns:
        Without a picture where the file cannot be decoded.
    """
    name = record.path.name
    try:
        image = decode_image(record.path, record.upright)
    except ImageError:
        return nothing_to_show(name, note)
    marks = [Mark(item.box, "", OTHER) for item in record.objects if item.number not in numbers][:_MAX_BOXES]
    asked = [(item.box, item.name) for item in record.objects if item.number in numbers]
    asked += [(box, "") for box in written]
    marks += [Mark(box, text, IN_QUESTION, width=1.5) for box, text in asked[:_MAX_BOXES]]
    jpeg = draw_photo(image, marks, _WIDTH, _crop(image, written))
    return Photo(jpeg, name, short(note), f"{name} with {counted(len(marks), 'box')}")


def show_findings(record: ImageRecord, findings: Sequence[Finding]) -> Photo:
    """Draw an image with what is wrong in it.

    Args:
        record: as it was read.
        findings: of one kind, one or more.
    """
    more = f" ({len(findings) - 1} more in this image)" if len(findings) > 1 else ""
    written = [finding.box for finding in findings if finding.box is not None]
    numbers = {finding.object for finding in findings if finding.object is not None and finding.box is None}
    return show(record, short(findings[0].message) + more, numbers, written)


def nothing_to_show(name: str, note: str) -> Photo:
    """An empty box with a name, for an image that cannot be drawn."""
    return Photo(None, name, short(note), name)


def short(text: str) -> str:
    """What there is room for."""
    return text if len(text) <= LONGEST_NOTE else f"{text[: LONGEST_NOTE - 1]}…"


def _crop(image: NDArray[np.uint8], boxes: Sequence[Box]) -> Crop:
    """The image, and as much around it as the boxes need, within bounds."""
    height, width = image.shape[:2]
    room_x, room_y = _BEYOND * width, _BEYOND * height
    xs = [x for box in boxes for x in (box[0], box[2])]
    ys = [y for box in boxes for y in (box[1], box[3])]
    return (
        max(-room_x, min([0.0, *xs])),
        max(-room_y, min([0.0, *ys])),
        min(width + room_x, max([float(width), *xs])),
        min(height + room_y, max([float(height), *ys])),
    )
