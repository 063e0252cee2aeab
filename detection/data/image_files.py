"""The one way from an image file to its header and its pixels, for all commands alike."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from detection.data.image_header import Header, header_of_plain_jpeg, orientation_of
from detection.system.file_reading import MAX_IMAGE, UnfitFileError, open_file, read_file_bytes

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm"}
    | {".jp2"}
)
UNREADABLE_SUFFIXES = frozenset((".heic", ".heif"))
"""Of photos that cannot be read: they are named, so that a folder of them does not look empty."""
MAX_PIXELS = 2**28
"""More than the largest phone photo (200 million); 0.8 GB once decoded. A small file can claim any size."""

# Pillow's own limit warns at 89 million pixels, which good cameras exceed. Ours is checked.
Image.MAX_IMAGE_PIXELS = None
# OpenCV's own lines about a damaged file say less than the error that is raised here.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# What makes an image upright: EXIF 2.3, tag 0x0112.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK = _TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_HEIC = "is in HEIC's format, which is not supported: convert it to JPEG"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")  # ISO 23008-12; AVIF has its own
_REMEDY = "replace the file or leave it out"
_REDUCED = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the remedy.

    Args:
        message: the whole sentence.
        reason: the part of it that goes on from the file's name.
        kind: that of the finding.
    """

    def __init__(self, message: str, reason: str = "", kind: str = "unreadable-image") -> None:
        super().__init__(message)
        self.reason, self.kind = reason, kind


def read_header(path: Path | str | bytes) -> Header:
    """Reads what an image file, or the content of one, says of itself.

    Raises:
        ImageError: the file cannot be opened, is not an image, or is too large to be decoded.
    """
    try:
        with _opened(path) as file:
            plain = header_of_plain_jpeg(file.peek())
            if plain is not None and plain.size[0] * plain.size[1] <= MAX_PIXELS:
                return plain
            with Image.open(file) as image:
                _refuse_too_many_pixels(path, image)
                mode = image.mode + ";16" * _is_deep_colour(image)
                tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}  # its size may be as shown
                size = tags.get(IMAGELENGTH, image.height), tags.get(IMAGEWIDTH, image.width)
                return Header(size, orientation_of(image, file), mode)
    except ImageError:
        raise
    except Exception as error:  # decoders fail in many ways on damaged files
        raise _not_opened(path, error) from error


def _opened(path: Path | str | bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(path)) if isinstance(path, bytes) else open_file(path, MAX_IMAGE)


def decode_image(path: Path | bytes, upright: bool) -> NDArray[np.uint8]:
    """Decodes an image file, of whatever kind and depth, to RGB.

    Grey, palette, CMYK and 16-bit images are converted, the last by the bits they hold; transparent pixels
    lie on white; of several frames (GIF, TIFF) the first is read.

    Args:
        path: the image, or the content of its file.
        upright: turn the image as its EXIF orientation asks.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the file cannot be read, or ends before its pixels do.
    """
    if _is_heic(path):
        raise _error(path, _HEIC)
    content = path if isinstance(path, bytes) else _content(path)
    if not content:
        raise _error(path, f"is an empty file: {_REMEDY}")
    return (
        _decode_jpeg(path, content, upright) if content.startswith(_JPEG) else _decode(path, content, upright)
    )


def decode_small(path: Path, size: tuple[int, int], side: int) -> NDArray[np.uint8]:
    """Decodes an image to a few grey pixels; of a JPEG no more than these need.

    Args:
        path: the image; its EXIF orientation is not heeded.
        size: the ``(height, width)`` that it has.
        side: of what is returned.

    Returns:
        uint8 ``(side, side)``, each the mean of a part of the image.

    Raises:
        ImageError: the file cannot be read or decoded.
    """
    content = _content(path)
    if content.startswith(_JPEG):
        reduced = next(
            (flag for factor, flag in _REDUCED if min(size) >= 2 * factor * side), cv2.IMREAD_GRAYSCALE
        )
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), reduced | cv2.IMREAD_IGNORE_ORIENTATION)
        except (cv2.error, MemoryError):
            image = None
        if image is None:
            raise _error(path, f"cannot be decoded: {_REMEDY}")
    else:
        image = cv2.cvtColor(decode_image(path, upright=False), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def refuse_another_size(path: Path, found: tuple[int, ...], size: tuple[int, int], source: str) -> None:
    """Refuses an image that is not of the size that its annotation was made for.

    Args:
        path: the image, for the message.
        found: its ``(height, width)``.
        size: the ``(height, width)`` that it should have.
        source: the file with the annotation.

    Raises:
        ImageError: it has another size.
    """
    if found != size:
        reason = (
            f"has {found[1]}x{found[0]} pixels, but {source} is for {size[1]}x{size[0]}: was the "
            "image resized or rotated (EXIF) after it was annotated?"
        )
        raise _error(path, reason, "image-of-another-size")


def _content(path: Path) -> bytes:
    try:
        return read_file_bytes(path, MAX_IMAGE)
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror or error}): {_REMEDY}") from error


def _decode_jpeg(path: Path | bytes, content: bytes, upright: bool) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_COLOR_RGB if upright else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise _error(path, "is too large to be decoded: shrink it or leave it out") from error
    if not _is_whole(content):
        raise _error(path, f"breaks off before its last pixel: {_REMEDY}", "truncated-image")
    if image is None:
        raise _error(path, f"cannot be decoded: {_REMEDY}")
    return np.asarray(image, dtype=np.uint8)


def _is_whole(content: bytes) -> bool:
    """Whether a JPEG goes on to its end. Decoders fill what is missing with grey and call it a success."""
    # The end mark cannot occur inside of the last scan. After a whole image, anything may follow.
    if content.endswith(_END) or content.rfind(_END) > content.rfind(_SCAN):
        return True
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # decoders fail in many ways on damaged files
        return False
    return True


def _decode(path: Path | bytes, content: bytes, upright: bool) -> NDArray[np.uint8]:
    try:
        image = Image.open(io.BytesIO(content))
    except Exception as error:
        raise _not_opened(path, error) from error
    with image:
        _refuse_too_many_pixels(path, image)
        try:
            orientation = orientation_of(image, io.BytesIO(content))
            deep = _is_deep_colour(image)
            image.load()
            shown: Image.Image = _deep_colour(content) if deep else image
            # Pillow and OpenCV turn TIFF's as they decode them.
            if orientation in _TURNS and upright != isinstance(image, TiffImageFile):
                shown = shown.transpose((_TURNS if upright else _BACK)[orientation])
        except MemoryError as error:
            raise _error(path, "is too large to be decoded: shrink it or leave it out") from error
        except Exception as error:
            why = str(error).split(" '")[0].strip() or type(error).__name__
            raise _error(path, f"cannot be decoded ({why}): {_REMEDY}", "truncated-image") from error
        return np.array(_as_rgb(path, shown))


def _as_rgb(path: Path | bytes, image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _error(path, "has floating-point numbers for pixels: convert it to 8 bits")
    if image.mode.startswith("I"):  # "I;16" or, in older Pillow, "I"
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise _error(path, "has pixels of more than 16 bits: convert it to 8 bits")
        image = Image.fromarray(_to_8_bits(values))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _is_deep_colour(image: ImageFile) -> bool:
    """Whether Pillow would reduce 16 bits of colour to 8 by itself; only the raw mode tells."""
    return ";16" in str(image.tile) and not image.mode.startswith("I")


def _deep_colour(content: bytes) -> Image.Image:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("damaged")
    order = [2, 1, 0, *range(3, pixels.shape[2])]  # OpenCV's blue comes first
    return Image.fromarray(_to_8_bits(np.ascontiguousarray(pixels[..., order])))


def _to_8_bits(values: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Scales by the bits that an image holds: files of 16 bits are made from cameras of 10, 12 and 14."""
    bits = next(bits for bits in (10, 12, 14, 16) if values.max() < 1 << bits)
    return (values >> (bits - 8)).astype(np.uint8)


def _refuse_too_many_pixels(path: Path | str | bytes, image: Image.Image) -> None:
    if image.height * image.width > MAX_PIXELS:
        raise _error(
            path,
            f"has {image.width}x{image.height} pixels, more than the limit of {MAX_PIXELS / 1e6:.0f} "
            "million: cut it into tiles, shrink it or leave it out",
        )


def _not_opened(path: Path | str | bytes, error: Exception) -> ImageError:
    if isinstance(error, UnfitFileError):
        return _error(path, f"cannot be read ({error}): {_REMEDY}")
    if isinstance(error, OSError) and error.errno is not None:
        # Some decoders name the target of a link, not what is listed.
        return _error(path, f"cannot be read ({error.strerror}): {_REMEDY}")
    heic = _is_heic(path) or _holds_heic(path)
    return _error(path, _HEIC if heic else f"is not an image that can be read: {_REMEDY}")


def _holds_heic(path: Path | str | bytes) -> bool:
    """Whether it is such a photo under another name: an upload, or a phone's photo renamed to ``.jpg``."""
    try:
        with _opened(path) as file:
            head = file.read(12)
    except OSError:
        return False
    return head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS


def _is_heic(path: Path | str | bytes) -> bool:
    return not isinstance(path, bytes) and Path(path).suffix.lower() in UNREADABLE_SUFFIXES


def _error(path: Path | str | bytes, reason: str, kind: str = "unreadable-image") -> ImageError:
    name = "The file" if isinstance(path, bytes) else path
    return ImageError(f"{name} {reason}", reason, kind)
