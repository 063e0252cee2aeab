"""Row 17: reading and checking annotated sets, next to how others go through the same files."""

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import cv2
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from benchmarks.harness import Benchmark, Result, timed
from benchmarks.large_sets import write_coco, write_voc
from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.sources import VOCDataModule
from detection.data.transforms import ssd_eval_transform
from detection.data.voc import VOCDetection
from detection.inspection.inspect import inspect_dataset

_IMAGES = 5000


def readers() -> Iterator[Result]:
    """Row 17."""
    with tempfile.TemporaryDirectory() as temporary, cache_in(Path(temporary) / "cache") as cache:
        voc, coco = Path(temporary) / "voc", Path(temporary) / "coco"
        write_voc(voc, _IMAGES)
        write_coco(coco, _IMAGES)
        files = sorted((voc / "JPEGImages").iterdir())

        def cold() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            warm()

        def warm() -> None:
            assert len(VOCDetection(voc, ["train"], classes=None)) == _IMAGES

        def parse() -> None:
            for file in files:
                root = ElementTree.parse(voc / f"Annotations/{file.stem}.xml").getroot()
                for item in root.iter("object"):
                    assert [int(corner.text or "") for corner in item.findall("bndbox/*")]
                with Image.open(file) as image:
                    assert image.size

        work = f"VOC, {_IMAGES:,} files; against ElementTree and Pillow's headers"
        yield timed("17", work, cold, parse, 1.0, rounds=3, clock=time.perf_counter, warm=False)
        yield timed("17", f"{work}, the second time", warm, parse, 0.2, rounds=3, clock=time.perf_counter)

        def ours() -> None:
            assert len(DetectionDataset(read_coco(coco / "images", coco / "train.json"))) == _IMAGES

        def pycocotools() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                found = COCO(str(coco / "train.json"))
            assert len(found.getImgIds()) == _IMAGES

        yield timed(
            "17",
            f"COCO, {_IMAGES:,} images, 35,000 objects; against pycocotools",
            ours,
            pycocotools,
            1.5,
            rounds=3,
        )

        def check() -> None:
            data = VOCDataModule(
                root=str(voc),
                train_splits=["train"],
                val_splits=["train"],
                classes=None,
                size=300,
                train_transform=ssd_eval_transform,
                eval_transform=ssd_eval_transform,
            )
            inspect_dataset(data, str(voc))

        for peer, look in (("Pillow's verify in 8 threads", _verify), ("OpenCV's decoder", _decode)):

            def scan(look: object = look) -> None:
                with ThreadPoolExecutor(8 if look is _verify else 1) as pool:
                    assert all(pool.map(look, files))  # type: ignore[arg-type]

            work = f"check, {_IMAGES:,} images, each decoded; against {peer}"
            yield timed("17", work, check, scan, 4.0, rounds=3, clock=time.perf_counter)


def _verify(file: Path) -> bool:
    """Whether headers and checksums are right; pixels are not looked at."""
    with Image.open(file) as image:
        image.verify()
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).size[0] > 9


def _decode(file: Path) -> bool:
    return cv2.imread(str(file)) is not None


@contextlib.contextmanager
def cache_in(folder: Path) -> Iterator[Path]:
    """Keep what readers remember in a folder of its own."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


ROWS: dict[str, Benchmark] = {"17": readers}
