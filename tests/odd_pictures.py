"""Files of many sizes and kinds, as users have them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Of one colour, or of one along a side, whole neighbourhoods score the same, and rounding chooses among them:
# the best scores agree.
PLAIN = ("plain.png", "dot.png", "1 x 2000.png", "2000 x 1.png")
# (height, width)
THIN = ((1, 2000), (2000, 1), (3, 5), (40, 800))
LARGE = ((40, 8000), (8000, 40), (6000, 8000))


def noise(draw: np.random.Generator, height: int, width: int) -> Image.Image:
    """Blurred."""
    small = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def write_odd_pictures(folder: Path, large: bool = False) -> None:
    """Write blurred noise in every mode that the opener knows; with ``large`` up to 48 megapixels."""
    draw = np.random.default_rng(0)
    noise(draw, 1, 1).save(folder / "dot.png")
    Image.new("RGB", (150, 100), (124, 116, 104)).save(folder / "plain.png")
    for height, width in (*THIN, *(LARGE if large else ())):
        suffix = "jpg" if min(height, width) > 1000 else "png"
        noise(draw, height, width).save(folder / f"{width} x {height}.{suffix}")
    noise(draw, 90, 120).convert("L").save(folder / "grey.jpg")
    noise(draw, 90, 120).convert("L").save(folder / "grey too.png")
    noise(draw, 90, 120).convert("LA").save(folder / "grey with alpha.png")
    noise(draw, 90, 120).convert("1").save(folder / "two colours.png")
    noise(draw, 90, 120).convert("CMYK").save(folder / "print.jpg")
    noise(draw, 90, 120).quantize(64).save(folder / "palette.gif")
    noise(draw, 90, 120).quantize(64).save(folder / "palette with alpha.png", transparency=3)
    transparent = noise(draw, 128, 128).convert("RGBA")
    transparent.putalpha(noise(draw, 128, 128).convert("L"))
    transparent.save(folder / "transparent.png")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        noise(draw, 90, 120).save(folder / f"turned {orientation}.jpg", exif=exif)
    noise(draw, 200, 128).save(folder / "turned.png", exif=exif)
    deep = draw.integers(0, 2**16, (6, 8, 3), dtype=np.uint16)
    cv2.imwrite(str(folder / "deep.png"), cv2.resize(deep, (130, 100), interpolation=cv2.INTER_LINEAR))
    cv2.imwrite(str(folder / "deep grey.png"), cv2.resize(deep[..., 0], (130, 100)))
