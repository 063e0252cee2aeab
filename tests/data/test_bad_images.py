"""Image files of all kinds, through the loader: read right, or refused in a sentence, or left out."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.small_set import COLOUR, SIZE, Served, SmallSet, encoded, jpeg

GREY = 124  # of COLOUR
NO_OBJECTS = "<annotation></annotation>"


def plain(mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (SIZE, SIZE), COLOUR).convert(mode)


def by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


def noise() -> Image.Image:
    """An image with many details, so that half of its file is far from all of it."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG of one bit per pixel with any header."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data


def with_thumbnail() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a"
    whole = jpeg(exif=exif)
    return whole[:20] + b"\xff\xfe" + struct.pack(">H", 2 + len(jpeg())) + jpeg() + whole[20:]


def deep(channels: int) -> np.ndarray:
    colour = np.array(COLOUR[::-1] if channels == 3 else [GREY], np.uint16) * 257
    return np.tile(colour, (SIZE, SIZE, 1)).astype(np.uint16)


READABLE: dict[str, tuple[Callable[[], bytes], str, tuple[int, ...]]] = {
    "jpeg": (jpeg, "x.jpg", COLOUR),
    "progressive jpeg": (lambda: jpeg(progressive=True), "x.jpg", COLOUR),
    "jpeg with bytes after its end": (lambda: jpeg() + b"\0" * 999, "x.jpg", COLOUR),
    "jpeg with another jpeg after its end": (lambda: jpeg() + jpeg()[:400], "x.jpg", COLOUR),
    "jpeg with a thumbnail": (with_thumbnail, "x.jpg", COLOUR),
    "upper-case suffix": (jpeg, "x.JPG", COLOUR),
    "grey jpeg": (lambda: encoded(plain("L"), "JPEG"), "x.jpg", (GREY,) * 3),
    "cmyk jpeg": (lambda: encoded(plain("CMYK"), "JPEG", quality=95), "x.jpg", COLOUR),
    "png": (lambda: encoded(plain(), "PNG"), "x.png", COLOUR),
    "palette png": (lambda: encoded(plain().quantize(4), "PNG"), "x.png", COLOUR),
    "transparent png": (lambda: encoded(plain("RGBA"), "PNG"), "x.png", COLOUR),
    "grey png": (lambda: encoded(plain("L"), "PNG"), "x.png", (GREY,) * 3),
    "grey and transparent png": (lambda: encoded(plain("LA"), "PNG"), "x.png", (GREY,) * 3),
    "black and white png": (lambda: encoded(Image.new("1", (SIZE, SIZE), 1), "PNG"), "x.png", (255,) * 3),
    "16-bit png": (lambda: by_opencv(deep(3), ".png"), "x.png", COLOUR),
    "16-bit grey png": (lambda: by_opencv(deep(1), ".png"), "x.png", (GREY,) * 3),
    "png called jpg": (lambda: encoded(plain(), "PNG"), "x.jpg", COLOUR),
    "jpeg called png": (jpeg, "x.png", COLOUR),
    "bmp called jpg": (lambda: encoded(plain(), "BMP"), "x.jpg", COLOUR),
    "webp called jpg": (lambda: encoded(plain(), "WEBP", quality=95), "x.jpg", COLOUR),
    "tiff called jpg": (lambda: encoded(plain(), "TIFF"), "x.jpg", COLOUR),
}


EXTREME = [(1, 1), (1, 60), (20_000, 1), (1, 20_000), (20_000, 30), (2, 3)]


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """All readable images in one set, served by two workers."""
    small_set = SmallSet(tmp_path_factory.mktemp("readable") / "mine")
    for number, (content, name, _) in enumerate(READABLE.values()):
        small_set.add(f"r{number}", content(), name=name.replace("x", f"r{number}"))
    for width, height in EXTREME:
        image = encoded(Image.new("RGB", (width, height), COLOUR), "PNG")
        small_set.add(f"e{width}x{height}", image, NO_OBJECTS, f"e{width}x{height}.png")
    return small_set.serve(workers=2)


@pytest.mark.parametrize("kind", READABLE)
def test_readable_images_keep_their_colour(readable: Served, kind: str) -> None:
    image_id = f"mine/r{list(READABLE).index(kind)}"
    assert image_id in readable.train
    assert readable.colours[image_id] == pytest.approx(READABLE[kind][2], abs=4)
    assert readable.num_objects[image_id] == 1


@pytest.mark.parametrize("size", EXTREME)
def test_images_of_extreme_sizes(readable: Served, size: tuple[int, int]) -> None:
    image_id = f"mine/e{size[0]}x{size[1]}"
    assert image_id in readable.train
    assert readable.colours[image_id] == pytest.approx(COLOUR, abs=2)


TRUNCATED = {
    f"{kind}, {part:.1%} of it": (kind, part, options)
    for kind, options in {
        "JPEG": {},
        "JPEG, progressive": {"progressive": True},
        "PNG": {},
        "BMP": {},
        "WEBP": {},
        "TIFF": {},
    }.items()
    for part in (0.5, 0.99)
}


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"x\.jpg is not an image"),
    "text": (b"to be done\n", r"x\.jpg is not an image"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", r"x\.jpg is not an image"),
    "a drawing": (
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        r"x\.jpg is not an image",
    ),
    "zeros": (bytes(5000), r"x\.jpg is not an image"),
    "noise": (np.random.default_rng(1).bytes(5000), r"x\.jpg is not an image"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", r"x\.jpg is not an image"),
    "a jpeg's first bytes": (jpeg()[:11], r"x\.jpg is not an image"),
    "a png of no pixels": (png(0, 0), r"x\.jpg"),
    "a png without its pixels": (png(SIZE, SIZE), r"x\.jpg cannot be decoded"),
    "a png of 20,000 x 20,000 pixels": (
        png(20_000, 20_000),
        r"x\.jpg has .* pixels, more " "than the limit of 268 million",
    ),
    "a png that claims 4 billion pixels": (
        png(65_000, 65_000),
        r"x\.jpg has .* pixels, more " "than the limit of 268 million",
    ),
    "a png with a wrong checksum": (
        encoded(noise(), "PNG")[:200] + bytes(300) + encoded(noise(), "PNG")[500:],
        r"x\.jpg cannot be decoded",
    ),
}


for case, (kind, part, options) in TRUNCATED.items():
    whole = encoded(noise(), kind.partition(",")[0], **options)
    message = r"x\.jpg (cannot be decoded|breaks off|is not an image)"
    UNUSABLE[case] = (whole[: int(part * len(whole))], message)


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_image_that_is_damaged_or_none_stops_the_run(small_set: SmallSet, case: str) -> None:
    content, message = UNUSABLE[case]
    small_set.add("x", content)
    with pytest.raises(ValueError, match=message) as error:
        small_set.serve("raise", workers=0)
    assert re.search("replace|unlist|shrink|take it off", str(error.value)), "there is no remedy"


@pytest.fixture(scope="module")
def skipped(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """All unusable images in one set with four good ones, served by two workers."""
    small_set = SmallSet(tmp_path_factory.mktemp("unusable") / "mine")
    small_set.add("d")
    for number, (content, _) in enumerate(UNUSABLE.values()):
        small_set.add(f"u{number}x", content)
    return small_set.serve("skip", workers=2)


def test_unusable_images_are_left_out(skipped: Served) -> None:
    good = ["mine/a", "mine/b", "mine/c", "mine/d"]
    assert set(skipped.train) == set(good)
    assert skipped.evaluated == good


@pytest.mark.parametrize("split", ["train", "val"])
def test_unusable_images_are_listed_once(skipped: Served, split: str) -> None:
    problems = skipped.problems[split]
    assert len(problems) == len(UNUSABLE)
    for number, (_, message) in enumerate(UNUSABLE.values()):
        (problem,) = [problem for problem in problems if f"/u{number}x.jpg" in problem]
        assert re.search(message, problem)


def test_a_missing_image_is_refused_or_left_out(small_set: SmallSet) -> None:
    small_set.add("x", name="")
    with pytest.raises(ValueError, match=r"x\.xml has no image: JPEGImages holds neither x\.jpg"):
        small_set.serve("raise")
    assert small_set.serve("skip").evaluated == ["mine/a", "mine/b", "mine/c"]


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself"])
def test_names_that_are_no_files(small_set: SmallSet, kind: str) -> None:
    small_set.add("x", name="")
    path = small_set.root / "JPEGImages/x.jpg"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "link to itself" else small_set.root / "nothing")
    with pytest.raises(
        ValueError, match=r"x\.jpg cannot be read \((Is a directory|No such " "file|Too many levels)"
    ):
        small_set.serve("raise")
    assert small_set.serve("skip").evaluated == ["mine/a", "mine/b", "mine/c"]


def damage(path: Path, how: str) -> None:
    if how == "vanishes":
        path.unlink()
    elif how == "is emptied":
        path.write_bytes(b"")
    else:
        path.write_bytes(jpeg((SIZE, 2 * SIZE)))


@pytest.mark.parametrize("how", ["vanishes", "is emptied", "is resized"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_changes_after_the_start(small_set: SmallSet, how: str, workers: int) -> None:
    small_set.add("x")
    strict, lenient = small_set.module("raise", workers=0), small_set.module("skip", workers)
    damage(small_set.root / "JPEGImages/x.jpg", how)
    with pytest.raises(ValueError, match=r"x\.jpg (cannot be read|is an empty file|has 48x96 pixels, but)"):
        list(strict.train_dataloader())
    loader = lenient.train_dataloader()
    epochs = [[batch.image_ids for batch in loader] for _ in range(2)]
    assert [len(ids) for ids in epochs[0] + epochs[1]] == [2, 2, 2, 2], "a step has fewer images"
    assert not any("mine/x" in ids for ids in epochs[0] + epochs[1])
    assert [batch.image_ids for batch in lenient.val_dataloader()] == [["mine/a"], ["mine/b"], ["mine/c"]]
    problems = lenient.problems()
    assert len(problems["train"]) == len(problems["val"]) == 1
    assert "x.jpg" in problems["train"][0]


def test_what_stands_in_does_not_depend_on_the_number_of_workers(small_set: SmallSet) -> None:
    for image_id in "xyz":
        small_set.add(image_id, encoded(noise(), "JPEG")[:600] if image_id != "y" else jpeg())
    served = [small_set.module("skip", workers).train_dataloader() for workers in (0, 1, 2)]
    epochs = [list(loader) for loader in served]
    for other in epochs[1:]:
        for batch, expected in zip(other, epochs[0], strict=True):
            assert batch.image_ids == expected.image_ids
            assert batch.images.equal(expected.images)
            assert batch.boxes.equal(expected.boxes)


def test_faster_rcnn_batches_may_lose_images_too(small_set: SmallSet) -> None:
    from detection.data.transforms import faster_rcnn_eval_transform, faster_rcnn_train_transform

    small_set.add("x", encoded(noise(), "JPEG")[:600])
    module = small_set.module(
        "skip", size=[32, 64], collate="list", eval_batch_size=2,
        train_transform=faster_rcnn_train_transform, eval_transform=faster_rcnn_eval_transform,
    )  # fmt: skip
    assert all(len(batch.images) == 2 for batch in module.train_dataloader())
    evaluated = [[target["image_id"] for target in batch.targets] for batch in module.val_dataloader()]
    assert evaluated == [["mine/a", "mine/b"], ["mine/c"]]


def test_a_disk_that_is_gone_is_not_skipped(small_set: SmallSet) -> None:
    module = small_set.module("skip", workers=0)
    (small_set.root / "JPEGImages").rename(small_set.root / "gone")
    with pytest.raises(ValueError, match="20 images in a row cannot be used, which is no accident"):
        list(module.train_dataloader())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_evaluation_of_nothing_is_refused(small_set: SmallSet, workers: int) -> None:
    module = small_set.module("skip", workers)
    for image_id in "abc":
        damage(small_set.root / f"JPEGImages/{image_id}.jpg", "is emptied")
    with pytest.raises(
        ValueError, match=r"None of the 3 images that this process evaluates can be used"
    ) as error:
        list(module.val_dataloader())
    assert "a.jpg is an empty file: replace the file or leave it out" in str(error.value)


def test_a_set_of_which_nothing_is_left_is_refused(small_set: SmallSet) -> None:
    for path in (small_set.root / "JPEGImages").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"data.on_error=skip leaves no image: 3 of the images"):
        small_set.module("skip")


def test_the_thumbnail_case_is_what_it_says() -> None:
    content = with_thumbnail()
    assert content.count(b"\xff\xd9") == 2
    assert Image.open(io.BytesIO(content)).size == (SIZE, SIZE)
