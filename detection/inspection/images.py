"""What an image file is: decoded to its last pixel, because a truncated one shows only there."""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from detection.file_reading import MAX_IMAGE, read_file_bytes

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)


class ImageError(ValueError):
    """A file that cannot be decoded; ``kind`` is the kind of finding."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ImageFacts(NamedTuple):
    """What matters about an image."""

    size: tuple[int, int]
    """``(height, width)`` as stored, without regard to EXIF."""
    mode: str
    """Pillow's: ``RGB``, ``L``, ``CMYK``; ``;16`` is added for 16 bits per channel."""
    orientation: int
    """EXIF's, 1 for upright."""
    digest: str
    """Equal for images with equal pixels."""

    def size_of(self, upright: bool) -> tuple[int, int]:
        """``(height, width)`` as shown, with regard to EXIF, or as stored."""
        return self.size[::-1] if upright and self.orientation in _TURNED_BY_A_QUARTER else self.size


def read_image(path: Path) -> ImageFacts:
    """Decodes an image.

    Raises:
        ImageError: the file is not an image, or its pixels cannot all be decoded.
    """
    try:
        image = Image.open(io.BytesIO(read_file_bytes(path, MAX_IMAGE)))
    except Exception as error:  # decoders fail in many ways on damaged files
        raise ImageError(
            "unreadable-image", f"is not an image that can be read ({_reason(error)})"
        ) from error
    with image:
        # A 16-bit PNG in colour is already reduced to 8 bits by its decoder; only its raw mode tells.
        deep = ";16" in str(image.tile) and ";16" not in image.mode
        try:
            image.load()
            orientation = int(image.getexif().get(ORIENTATION_TAG, UPRIGHT))
        except Exception as error:
            raise ImageError("truncated-image", f"breaks off or is damaged ({_reason(error)})") from error
        digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
        digest.update(image.tobytes())
        mode = image.mode + ";16" * deep
        return ImageFacts((image.height, image.width), mode, orientation, digest.hexdigest())


def _reason(error: Exception) -> str:
    # Pillow's messages repeat the path, which the finding names already.
    return str(error).split(" '")[0].strip() or type(error).__name__
