"""From the bytes of an image file to pixels; a file that is not whole is an error, not a grey half."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detection.data.records import ImageError
from detection.file_reading import MAX_IMAGE, read_file_bytes

# OpenCV's own lines about a damaged file say less than the error that is raised here.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def decode_image(path: Path, upright: bool) -> NDArray[np.uint8]:
    """Decodes an image file, of whatever kind and depth, to RGB.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped.

    Args:
        path: the image.
        upright: turn the image as its EXIF orientation asks.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the file cannot be read, or ends before its pixels do.
    """
    flags = cv2.IMREAD_COLOR_RGB if upright else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    remedy = "replace the file or take it off the lists"
    try:
        content = read_file_bytes(path, MAX_IMAGE)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error}): {remedy}") from error
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"{path} is too large to be decoded: shrink it, or take it off the lists") from error
    if image is None:
        what = "cannot be decoded" if content else "is an empty file"
        raise ImageError(f"{path} {what}: {remedy}")
    if not _is_whole(content):
        raise ImageError(f"{path} breaks off before its last pixel: {remedy}")
    return np.asarray(image, dtype=np.uint8)


def _is_whole(content: bytes) -> bool:
    """Whether a JPEG goes on to its end. Decoders fill what is missing with grey and call it a success."""
    if not content.startswith(_JPEG) or content.endswith(_END):
        return True
    # The end mark cannot occur inside of the last scan. After a whole image, anything may follow.
    if content.rfind(_END) > content.rfind(_SCAN):
        return True
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # decoders fail in many ways on damaged files
        return False
    return True
