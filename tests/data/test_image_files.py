"""Files of every common kind become the picture that a viewer shows."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detection.data import image_files
from detection.data.image_files import ImageError, decode_image, read_header


def shown(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return decode_image(path, upright=True)


def picture(height: int = 24, width: int = 36) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth, so that lossy formats keep it, and unlike any of its reflections."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 127 // width], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "jpg", "jp2"])
def test_colours_survive(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {"quality": 98} if suffix == "jpg" else {}
    Image.fromarray(picture()).save(path, **lossless)
    read = shown(path)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - picture()).max() <= (6 if suffix == "jpg" else 0)


def test_jpegs_are_read_as_in_training(tmp_path: Path) -> None:
    Image.fromarray(picture(200, 300)).save(tmp_path / "a.jpg", quality=90)
    trained_on = cv2.imread(str(tmp_path / "a.jpg"))
    assert trained_on is not None
    assert np.abs(shown(tmp_path / "a.jpg").astype(int) - trained_on[..., ::-1]).max() <= 3


def as_stored(upright: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """What a camera held in this orientation stores, written out axis by axis."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    return np.ascontiguousarray(stored)


def is_read(
    path: Path, stored: np.ndarray[Any, Any], upright: np.ndarray[Any, Any], orientation: int
) -> None:
    assert (shown(path) == upright).all()
    assert (decode_image(path, upright=False) == stored).all()
    header = read_header(path)
    assert header.size_of(upright=True) == upright.shape[:2]
    assert (header.size, header.orientation) == (stored.shape[:2], orientation)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright, path = picture(), tmp_path / f"a.{suffix}"
    stored = as_stored(upright, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif, lossless=True)  # which is WebP's alone
    is_read(path, stored, upright, orientation)
    Image.fromarray(stored[..., 0]).save(path, exif=exif, lossless=True)
    is_read(path, stored[..., :1], upright[..., :1], orientation)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_xmp_says_of_the_orientation_turns_nothing(tmp_path: Path, suffix: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    path = tmp_path / f"a.{suffix}"
    image = Image.fromarray(picture())
    if suffix == "png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, pnginfo=text)
    else:
        image.save(path, xmp=xmp)
    assert shown(path).shape == picture().shape
    assert read_header(path).orientation == 1


@pytest.mark.parametrize(
    "pixels", [picture(), picture()[..., 0], picture()[..., 0] * np.uint16(257)], ids=["RGB", "L", "I;16"]
)
def test_what_xmp_says_turns_no_tiff_either(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path = tmp_path / "a.tif"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(pixels).save(path, tiffinfo={700: xmp})
    is_read(path, shown(path), shown(path), 1)
    assert shown(path).shape == (*pixels.shape[:2], 3)
    assert (shown(path)[..., 0] == picture()[..., 0]).all()


def test_exif_may_stand_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    Image.fromarray(as_stored(picture(), 6)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-12] + exif_chunk(6) + content[-12:])  # before the last chunk
    is_read(tmp_path / "a.png", as_stored(picture(), 6), picture(), 6)
    for damaged in (content[:-12] + exif_chunk(6)[:20], content[:40] + b"\xff" * 20):
        (tmp_path / "a.png").write_bytes(damaged)
        with suppress(ImageError):
            assert read_header(tmp_path / "a.png").orientation == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4], ids=["byte", "short", "long"])
def test_header_and_pixels_of_a_jpeg_agree_whatever_type_its_orientation_has(
    tmp_path: Path, order: str, kind: int
) -> None:
    value = struct.pack(order + {1: "B", 3: "H", 4: "L"}[kind], 6).ljust(4, b"\0")
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIHHHI", 42, 8, 1, 0x0112, kind, 1)
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + tiff + value + b"\0" * 4)
    header = read_header(tmp_path / "a.jpg")
    assert header.size == picture().shape[:2]
    assert header.size_of(upright=True) == shown(tmp_path / "a.jpg").shape[:2]
    assert (header.orientation == 6) == (shown(tmp_path / "a.jpg").shape != picture().shape)


@pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.avif"
    Image.fromarray(as_stored(picture(), orientation)).save(path, exif=exif, quality=100, subsampling="4:4:4")
    assert np.abs(shown(path).astype(int) - picture()).max() < 8
    assert read_header(path).size_of(upright=True) == picture().shape[:2]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_of_deep_colour_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright, path = picture(), tmp_path / f"a.{suffix}"
    stored = as_stored(upright, orientation)
    deep = stored.astype(np.uint16) * 257
    path.write_bytes(png_of(deep, orientation) if suffix == "png" else tiff_of(deep, orientation))
    is_read(path, stored, upright, orientation)


def png_of(pixels: np.ndarray[Any, Any], orientation: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write, with EXIF."""
    content = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    header = 8 + 25  # the signature and the first chunk
    return content[:header] + exif_chunk(orientation) + content[header:]


def exif_chunk(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    part = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    return struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))


def tiff_of(pixels: np.ndarray[Any, Any], orientation: int) -> bytes:
    """A TIFF of 16 bits a channel, by TIFF 6.0: the pixels, the bits of each channel, the directory."""
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    bits = 8 + len(data)
    entries = (
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(data)),
    )  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = bits + 2 * channels
    return b"II*\0" + struct.pack("<I", start) + data + struct.pack("<3H", 16, 16, 16) + directory + b"\0" * 4


def test_grey_and_palette(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(picture()).quantize(16).save(tmp_path / "palette.png")
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    assert (shown(tmp_path / "grey.png") == grey[..., None]).all()
    assert np.abs(shown(tmp_path / "palette.png").astype(int) - picture()).mean() < 25
    assert (shown(tmp_path / "bits.png") == 255 * (grey > 100)[..., None]).all()


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[:, 1] = (200, 100, 0, 255)
    pixels[:, 2] = (200, 100, 0, 51)  # one fifth opaque
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    assert shown(tmp_path / "rgba.png")[0].tolist() == [[255, 255, 255], [200, 100, 0], [244, 224, 204]]
    Image.fromarray(np.array([[[0, 0], [7, 255]]], np.uint8)).save(tmp_path / "la.png")
    assert shown(tmp_path / "la.png")[0].tolist() == [[255] * 3, [7] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png", transparency=0)
    assert shown(tmp_path / "p.png")[0].tolist() == [[255] * 3, [40, 50, 60]]


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "grey.png"), values)
    assert shown(tmp_path / "grey.png")[0, :, 0].tolist() == [0, 1, 128, 255]
    cv2.imwrite(str(tmp_path / "rgb.png"), np.stack([values] * 3, axis=2))
    assert shown(tmp_path / "rgb.png")[0, :, 0].tolist() == [0, 1, 128, 255]
    Image.fromarray(values).save(tmp_path / "grey.tif")
    assert shown(tmp_path / "grey.tif")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    red, green, blue = shown(tmp_path / "red.jpg")[8, 8].tolist()
    assert red > 250
    assert green < 5
    assert blue < 5


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (shown(tmp_path / "a.gif") == [255, 0, 0]).all()


def test_names_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "Zürich (1), 猫's = 50%.png"
    Image.fromarray(picture()).save(path)
    assert (shown(path) == picture()).all()


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(200, 300)).save(file, "jpeg")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jpg", b"", "is an empty file"),
        ("a.jpg", b"<html>not found</html>", "is not an image"),
        ("a.jpg", jpeg()[:1500], "breaks off before its last pixel"),
        ("a.HEIC", b"anything", "HEIC.*not supported: convert it to JPEG"),
        ("a.jpg", b"\0\0\0\x18ftypheic" + bytes(30), "HEIC.*not supported: convert it to JPEG"),
    ],
)
def test_broken_files_say_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message):
        shown(tmp_path / name)


def test_an_uploaded_photo_in_heic_says_so() -> None:
    with pytest.raises(ImageError, match="The file is in HEIC's format"):
        decode_image(b"\0\0\0\x18ftypmif1" + bytes(30), upright=True)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        shown(tmp_path / "gone.jpg")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="floating-point"):
        shown(tmp_path / "a.tif")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "MAX_PIXELS", 1_000_000)
    Image.new("1", (2000, 600)).save(tmp_path / "bomb.png", pnginfo=PngInfo())
    with pytest.raises(ImageError, match="2000x600 pixels, more than the limit of 1 million"):
        shown(tmp_path / "bomb.png")
