"""VOC's format: an XML file for each image."""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.etree.ElementTree import fromstring as parse_plainly

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring as parse_guarded

from detection.data.formats.corners import CORNERS, are_fractions, from_voc_corners, to_voc_corners
from detection.data.formats.index import Annotation, Remark
from detection.data.formats.records import AnnotationError, ObjectRecord
from detection.system.file_reading import MAX_TEXT, read_file_bytes


def read_annotation(path: Path) -> Annotation:
    """Reads one annotation file.

    The boxes have continuous edges (`from_voc_corners`) and may still stick out of the image. Tags may be
    written in any case; a missing ``<difficult>`` means 0.

    Raises:
        AnnotationError: the XML is broken, unsafe or of another format; the message goes on from the file's
            name.
    """
    root = _parse(path)
    for element in root.iter():
        element.tag = element.tag.lower()
    found = root.findall("object")
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


def _parse(path: Path) -> Element:
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
    bndbox = element.find("bndbox")
    if bndbox is None:
        return "missing-tag", f"{who} has no <bndbox>: add its box or remove the object", number
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
    difficult = _text(element, "difficult").lower() in ("1", "true")
    return ObjectRecord(name, from_voc_corners(written), difficult, number)


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
    return value if math.isfinite(value) else None


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def as_written(box: Sequence[float]) -> str:
    """A box in VOC's own words, for messages."""
    return _write(to_voc_corners(box))


def _write(corners: Sequence[float]) -> str:
    return ", ".join(f"{corner}={value:g}" for corner, value in zip(CORNERS, corners, strict=True))
