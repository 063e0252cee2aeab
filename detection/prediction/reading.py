"""One image file of a user: any common kind in, upright 8-bit RGB out."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from detection.file_reading import MAX_IMAGE, open_file
from detection.prediction.sources import UNREADABLE_SUFFIXES

MAX_PIXELS = 2**28
"""More than the largest phone photo (200 million); 0.8 GB once decoded. A small file can claim any size."""

# Pillow's own limit warns at 89 million pixels, which good cameras exceed. ``read_image`` refuses by itself.
Image.MAX_IMAGE_PIXELS = 2 * MAX_PIXELS


class UnreadableImageError(ValueError):
    """An image that cannot be used; the message says why, without naming the file."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it.

    * It is turned upright as its EXIF orientation asks, so boxes found in it are in the upright image.
    * Transparent pixels lie on white.
    * 16-bit grey values are divided by 256.
    * Of several frames (GIF, TIFF) the first is read.

    Args:
        path: a file of any kind that Pillow reads.

    Returns:
        ``(H, W, 3)`` RGB.

    Raises:
        UnreadableImageError: it cannot be read.
    """
    if path.suffix.lower() in UNREADABLE_SUFFIXES:
        raise UnreadableImageError("HEIC is not supported: convert it to JPEG")
    try:
        with open_file(path, MAX_IMAGE) as file:
            if not file.read(1):
                raise UnreadableImageError("the file is empty")
            file.seek(0)
            return _decode(file)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("it is not an image, or damaged at its beginning") from error
    except Exception as error:  # a damaged file fails in many ways
        raise UnreadableImageError(f"{error}".strip() or type(error).__name__) from error


def _decode(file: BinaryIO) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableImageError(
                f"{image.width} x {image.height} pixels are more than the limit of "
                f"{MAX_PIXELS / 1e6:.0f} million: shrink or cut it"
            )
        return np.asarray(_as_rgb(ImageOps.exif_transpose(image)))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("its pixels are floating-point numbers: convert it to 8 bits")
    if image.mode.startswith("I"):  # "I;16" or, in older Pillow, "I"
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImageError("its pixels have more than 16 bits: convert it to 8 bits")
        image = Image.fromarray((values // 256).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
