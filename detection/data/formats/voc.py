"""VOC's format: an XML file for each image, lists of images, and corners, which are boxes nowhere else.

VOC counts pixels from 1 and names the first and the last pixel of an object: ``xmin=1, xmax=3`` is three
pixels wide. Boxes have continuous edges everywhere else: the same object reaches from 0 to 3.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.etree.ElementTree import fromstring as parse_plainly

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring as parse_guarded

from detection.data.formats.index import Annotation, Remark
from detection.data.formats.outlines import box_around_turned, outline_of, rotation_of
from detection.data.formats.records import AnnotationError, Box, ObjectRecord
from detection.system.file_reading import MAX_TEXT, read_file_bytes

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def from_voc_corners(corners: Sequence[float]) -> Box:
    """Returns the box ``x1, y1, x2, y2`` of VOC's ``xmin, ymin, xmax, ymax``."""
    xmin, ymin, xmax, ymax = corners
    return xmin - 1, ymin - 1, xmax, ymax


def to_voc_corners(box: Sequence[float]) -> Box:
    """Returns VOC's ``xmin, ymin, xmax, ymax`` of a box; not rounded, so no digit is lost."""
    x1, y1, x2, y2 = box
    return x1 + 1, y1 + 1, x2, y2


def whole_voc_corners(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rounds a box to whole pixels and returns VOC's corners, from 1 to the image's width and height.

    A box that rounding would empty keeps one pixel.

    Args:
        box: ``xyxy`` in pixels.
        size: ``(height, width)`` of the image.
    """
    xmin, xmax = _ends(box[0], box[2], size[1])
    ymin, ymax = _ends(box[1], box[3], size[0])
    return xmin, ymin, xmax, ymax


def are_fractions(corners: Sequence[float]) -> bool:
    """Whether what stands for VOC's corners is in fractions of the image's sides, as YOLO writes boxes.

    The smallest object in pixels, the first of all, has the corners 1, 1, 1, 1.
    """
    return 0 <= min(corners) < 1 and 0 < max(corners) <= 1


def _ends(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(round(low) + 1, 1), length)
    return first, max(min(round(high), length), first)


def read_annotation(path: Path | str) -> Annotation:
    """Reads one annotation file.

    The boxes have continuous edges (`from_voc_corners`) and may still stick out of the image. Tags may be
    written in any case; a missing ``<difficult>`` means 0.

    Raises:
        AnnotationError: the XML is broken, unsafe or of another format; the message goes on from the file's
            name.
    """
    root = _parse(path)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2].lower()  # behind a namespace
    found = root.findall("object")
    if root.tag == "annotations" and root.find("image") is not None:
        raise AnnotationError("is in CVAT's own format: export the task as PASCAL VOC, COCO or YOLO")
    if root.tag != "annotation" or (not found and root.find(".//bndbox") is not None):
        raise AnnotationError(
            "is not an annotation in VOC's format, which is <annotation> with an <object> for each object: "
            "export it again or remove it"
        )
    objects, remarks = [], []
    for number, element in enumerate(found, 1):
        item = _read_object(element, number)
        if isinstance(item, ObjectRecord):
            objects.append(item)
        else:
            remarks.append(item)
    size = _read_size(root)
    if size is None:
        message = "has no usable <size>, so boxes cannot be compared with the size they were drawn at: add it"
        remarks.append(("missing-size", message, None))
    return Annotation(_text(root, "filename"), size, tuple(objects), tuple(remarks))


def _parse(path: Path | str) -> Element:
    remedy = "export it again or repair it"
    try:
        content = read_file_bytes(path, MAX_TEXT)
        # Entities need a declaration, which begins like this in all encodings but those with zero bytes.
        guarded = b"<!" in content or b"\0" in content
        root: Element = parse_guarded(content) if guarded else parse_plainly(content)
    except DefusedXmlException as error:  # a ValueError, which the next clause would take
        raise AnnotationError(
            "declares XML entities, which VOC annotations never do and which can exhaust the memory: "
            "refused. Remove its <!DOCTYPE> part"
        ) from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding that does not exist
        if _lacks_encoding(content):
            raise AnnotationError(
                "is not well-formed XML: it declares no encoding, but is not UTF-8: save it in that encoding"
            ) from error
        raise AnnotationError(f"is not well-formed XML ({error}): {remedy}") from error
    except OSError as error:
        raise AnnotationError(f"cannot be read ({error}): {remedy}") from error
    return root


def _lacks_encoding(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return b"encoding=" not in content[:100] and not content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return False


def _read_object(element: Element, number: int) -> ObjectRecord | Remark:
    """An object, or what is wrong with it."""
    name = _text(element, "name")
    if not name:
        return (
            "missing-tag",
            f"object {number} has no <name>: give it its class name or remove the object",
            number,
        )
    who = f"object {number} ({name})"
    difficult = _is_marked(_text(element, "difficult"))
    bndbox = element.find("bndbox")
    if bndbox is None:
        outline = outline_of(element)
        if outline is not None:
            return ObjectRecord(name, outline, difficult, number)
        return "missing-tag", f"{who} has no <bndbox>: add its box or remove the object", number
    count = len(element.findall("bndbox"))
    if count > 1:
        return "bad-coordinate", f"{who} has {count} <bndbox>: give each box an <object> of its own", number
    written: list[float] = []
    for corner in CORNERS:
        text = _text(bndbox, corner)
        if not text:
            return (
                "missing-tag",
                f"{who} has no <{corner}> in its <bndbox>: add it or remove the object",
                number,
            )
        value = _number(text)
        if value is None:
            message = f"{who} has <{corner}>{text}</{corner}>, which is not a number: correct it"
            return "bad-coordinate", message, number
        written.append(value)
    if are_fractions(written):
        message = (
            f"{who} has the box {_write(written)}, in fractions of the image's sides: VOC's corners are "
            "pixels, "
        )
        return (
            "bad-coordinate",
            f"{message}counted from 1; multiply them by the image's width and height",
            number,
        )
    box = box_around_turned(from_voc_corners(written), rotation_of(element))
    return ObjectRecord(name, box, difficult, number)


def _is_marked(text: str) -> bool:
    """Whether a mark is set; what is no mark, such as ``Unspecified``, sets none."""
    return text.lower() in ("true", "yes") or _number(text) not in (None, 0)


def _read_size(root: Element) -> tuple[int, int] | None:
    try:
        height, width = int(float(_text(root, "size/height"))), int(float(_text(root, "size/width")))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None  # Python's digits may have some


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def as_written(box: Sequence[float]) -> str:
    """A box in VOC's own words, for messages."""
    return _write(to_voc_corners(box))


def _write(corners: Sequence[float]) -> str:
    return ", ".join(f"{corner}={value:g}" for corner, value in zip(CORNERS, corners, strict=True))
