"""Generated images of shapes, written as a VOC devkit: data for a first run and for the tests."""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from detection.data.formats.voc import to_voc_corners
from detection.data.shape_drawing import SHAPE_CLASSES, Drawing, draw_image
from detection.system.files import folder_written_whole, refuse_unwritable
from detection.system.wording import counted

__all__ = ["SHAPE_CLASSES", "write_shapes"]

FOLDER = "Shapes"
MANIFEST = "manifest.json"
VERSION = 1  # raise it when the images change, so that older ones are not taken for them
JPEG_QUALITY = 90
MIN_SIZE = 64


class ShapesSettings(NamedTuple):
    """What decides the images, and how many there are."""

    num_train: int
    num_val: int
    num_test: int
    size: int = 128
    """Side of the square images, in pixels."""
    seed: int = 0
    version: int = VERSION

    def devkit_in(self, root: Path | str) -> Path:
        """The ``VOCdevkit`` of these images: in the root where it is free, else in a folder of their own.

        Nothing is replaced, since another training may be reading it.

        Raises:
            FileExistsError: ``root/VOCdevkit/Shapes`` holds something else.
        """
        first = Path(root).expanduser() / "VOCdevkit"
        if not (first / FOLDER).exists() or self.lie_in(first):
            return first
        if not (first / FOLDER / MANIFEST).is_file():
            raise FileExistsError(
                f"{first / FOLDER} was not written by write_shapes: move it away or choose another data.root"
            )
        counts = f"{self.num_train}_{self.num_val}_{self.num_test}"
        name = f"{counts}_of_{self.size}px_seed_{self.seed}_version_{self.version}"
        return first.parent / name / "VOCdevkit"

    def lie_in(self, devkit: Path) -> bool:
        """Whether these images are there, whole."""
        file = devkit / FOLDER / MANIFEST
        return file.is_file() and file.read_text(encoding="utf-8") == json.dumps(self._asdict())


def write_shapes(
    root: Path | str, num_train: int, num_val: int, num_test: int, size: int = 128, seed: int = 0
) -> Path:
    """Writes a VOC devkit of shapes, unless the same images are there already.

    It is ``root/VOCdevkit``, or where other shapes lie there, one in a folder of ``root`` for these settings.
    An image depends on the seed, its split and its number alone, so asking for more keeps the first ones.

    Args:
        root: the folder that will hold ``VOCdevkit``.
        num_train: images in ``train.txt``.
        num_val: images in ``val.txt``.
        num_test: images in ``test.txt``.
        size: side of the square images, in pixels.
        seed: seed of all images.

    Returns:
        The ``VOCdevkit`` folder.

    Raises:
        ValueError: a count is negative or the images are too small for shapes.
        FileExistsError: ``root/VOCdevkit/Shapes`` holds something else.
    """
    settings = ShapesSettings(num_train, num_val, num_test, size, seed)
    if min(num_train, num_val, num_test) < 0 or size < MIN_SIZE:
        raise ValueError(f"shapes need counts of 0 or more and a size of at least {MIN_SIZE}; got {settings}")
    devkit = settings.devkit_in(root)
    if settings.lie_in(devkit):
        return devkit
    refuse_unwritable(devkit, "data.root")
    with folder_written_whole(devkit / FOLDER) as fresh:
        _write_folder(fresh, settings)
    return devkit


def _write_folder(folder: Path, settings: ShapesSettings) -> None:
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    counts = {"train": settings.num_train, "val": settings.num_val, "test": settings.num_test}
    for split_number, (split, count) in enumerate(counts.items()):
        ids = [f"{split}_{number:05d}" for number in range(count)]
        for number, image_id in enumerate(track(ids, f"Drawing {counted(count, 'image')}: {split}")):
            rng = np.random.default_rng((settings.seed, split_number, number))
            drawing = draw_image(rng, settings.size)
            _write_image(folder / "JPEGImages" / f"{image_id}.jpg", drawing.image)
            (folder / "Annotations" / f"{image_id}.xml").write_text(
                _to_xml(image_id, drawing), encoding="utf-8"
            )
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(
            "".join(f"{image_id}\n" for image_id in ids), encoding="utf-8"
        )
    (folder / MANIFEST).write_text(json.dumps(settings._asdict()), encoding="utf-8")


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(jpeg.tobytes())  # cv2.imwrite would only return False on a full disk


def _to_xml(image_id: str, drawing: Drawing) -> str:
    height, width = drawing.image.shape[:2]
    lines = [
        "<annotation>",
        f"  <folder>{FOLDER}</folder>",
        f"  <filename>{image_id}.jpg</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for item in drawing.objects:
        xmin, ymin, xmax, ymax = to_voc_corners(item.box)
        lines += [
            "  <object>",
            f"    <name>{item.name}</name>",
            f"    <difficult>{int(item.difficult)}</difficult>",
            f"    <bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>",
            f"      <xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])
