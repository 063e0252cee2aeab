"""What an image file says of itself before its pixels, and where a plain JPEG says it."""

import os
import struct
from typing import BinaryIO, NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

UPRIGHT = 1
_ORIENTATION = 0x0112  # EXIF 2.3, and TIFF 6.0
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_OF_EXIF = 2**20  # bytes; the orientation is among the first
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)

_JPEG, _SCAN, _TABLES, _JFIF = b"\xff\xd8\xff", 0xDA, 0xDB, 0xE0
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_WITHOUT_A_SAY = (0xC4, 0xDD, 0xFE)  # Huffman's tables, the restart interval, a comment
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


class Header(NamedTuple):
    """What an image file says of itself, before its pixels."""

    size: tuple[int, int]
    """``(height, width)`` as stored, without regard to EXIF."""
    orientation: int
    """EXIF's, 1 for upright."""
    mode: str
    """Pillow's: ``RGB``, ``L``, ``CMYK``; ``;16`` is added for 16 bits per channel."""

    @property
    def deep(self) -> bool:
        """Whether there are more than 8 bits per channel."""
        return self.mode.startswith("I") or ";16" in self.mode

    @property
    def quarter(self) -> bool:
        """Whether the image is shown turned by a quarter, so that height and width change places."""
        return self.orientation in _TURNED_BY_A_QUARTER

    def size_of(self, upright: bool) -> tuple[int, int]:
        """``(height, width)`` as shown, with regard to EXIF, or as stored."""
        return self.size[::-1] if upright and self.quarter else self.size


def orientation_of(image: Image.Image, file: BinaryIO) -> int:
    """EXIF's orientation of an image that was opened and not loaded yet, 1 where it has none.

    XMP's, which Pillow takes where EXIF has none, is not heeded: OpenCV and browsers do not turn such images.

    Args:
        image: as Pillow opened it. Of a TIFF it will not be turned by XMP's orientation either.
        file: its file, to look for what Pillow finds only with the pixels.
    """
    if isinstance(image, TiffImageFile):  # its tags are its EXIF
        image.info.pop("xmp", None)
        value = image.tag_v2.get(_ORIENTATION, UPRIGHT)
        return value if isinstance(value, int) else UPRIGHT
    exif = image.info.get("exif", b"")
    return _orientation_in(_exif_of_png(file) if image.format == "PNG" and not exif else exif)


def _exif_of_png(file: BinaryIO) -> bytes:
    """A PNG's EXIF, which may stand behind the pixels; empty if there is none."""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return file.read(min(length, _MOST_OF_EXIF))
        file.seek(length + 4, os.SEEK_CUR)
    return b""


def _orientation_in(exif: bytes) -> int:
    """As OpenCV reads it, which decodes JPEG files: the first two bytes of the value, whatever its type."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return UPRIGHT
    start = struct.unpack_from(f"{order}I", tiff, 4)[0] + 2
    entries = struct.unpack_from(f"{order}H", tiff, start - 2)[0] if start <= len(tiff) else 0
    for place in range(start, min(start + 12 * entries, len(tiff) - 11), 12):
        tag, value = struct.unpack_from(f"{order}H6xH", tiff, place)
        if tag == _ORIENTATION:
            return int(value)
    return UPRIGHT


def header_of_plain_jpeg(head: bytes) -> Header | None:
    """The header of a JPEG without EXIF or anything else unusual, several times as fast as Pillow reads it.

    Args:
        head: the first bytes of a file.

    Returns:
        What Pillow would say; None if it has to be asked, because the file is no such JPEG or its pixels
        begin behind these bytes.
    """
    place, header = 2, None
    while head.startswith(_JPEG) and place + 4 <= len(head):
        mark, marker, length = struct.unpack_from(">BBH", head, place)
        part = head[place + 4 : place + 2 + length]
        if mark != 0xFF or len(part) != length - 2:
            return None
        if marker == _SCAN:
            return header
        if marker in _FRAMES and len(part) > 6:
            bits, height, width, channels = struct.unpack_from(">BHHB", part)
            if bits != 8 or channels not in _MODES or len(part) != 6 + 3 * channels or not height * width:
                return None
            header = Header((height, width), UPRIGHT, _MODES[channels])
        elif marker == _TABLES:
            if len(part) % 65 or max(part[::65], default=0) > 15:  # tables of 8 bits have 64 entries each
                return None
        elif marker not in _WITHOUT_A_SAY and not (marker == _JFIF and len(part) >= 14):
            return None
        place += 2 + length
    return None
