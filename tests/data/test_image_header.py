"""What is read of a JPEG's header without Pillow is what Pillow reads."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data import image_files
from detection.data.image_files import ImageError, read_header
from detection.data.image_header import UPRIGHT, Header, header_of_plain_jpeg


def jpeg(mode: str, **options: object) -> bytes:
    """A JPEG of 53x37 pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, "jpeg", **options)
    return content.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"a"}])
def test_a_plain_jpeg(mode: str, options: dict[str, object]) -> None:
    assert header_of_plain_jpeg(jpeg(mode, **options)[:4096]) == Header((37, 53), UPRIGHT, mode)


def test_what_is_left_to_pillow() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert header_of_plain_jpeg(jpeg("RGB", exif=exif)) is None
    assert header_of_plain_jpeg(jpeg("RGB")[:300]) is None
    assert header_of_plain_jpeg(b"") is None


def test_damaged_headers_are_judged_as_pillow_judges_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, path = random.Random(0), tmp_path / "a.jpg"
    whole = [jpeg("L"), jpeg("RGB", comment=b"a"), jpeg("CMYK"), jpeg("RGB", progressive=True)]

    def look() -> Header | str:
        try:
            return read_header(path)
        except ImageError as error:
            return str(error)

    for _ in range(300):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 2, 4))):
            content[rng.randrange(2, content.find(b"\xff\xda") + 4)] = rng.choice(
                (0, 4, 17, 0xDA, 0xE1, 0xFF)
            )
        path.write_bytes(content)
        ours = look()
        with monkeypatch.context() as patch:
            patch.setattr(image_files, "header_of_plain_jpeg", lambda head: None)
            assert ours == look()
