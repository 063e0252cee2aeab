"""A small set in VOC's layout, to which bad files are added."""

import io
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from detection.data.sources import VOCDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform

SIZE = 48
COLOUR = (200, 100, 50)


class Served(NamedTuple):
    """What a data module served."""

    train: list[str]
    """Ids of one epoch's images."""
    evaluated: list[str]
    colours: dict[str, tuple[float, ...]]
    """Mean colour of each evaluated image."""
    num_objects: dict[str, int]
    """Of each evaluated image."""
    problems: dict[str, list[str]]


class SmallSet:
    """A VOC-style folder; the images a, b and c are good."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (root / part).mkdir(parents=True)
        self.ids: list[str] = []
        for image_id in "abc":
            self.add(image_id)

    def add(
        self,
        image_id: str,
        image: bytes | None = None,
        xml: str | bytes | None = None,
        name: str | None = None,
    ) -> None:
        """Adds an image to the lists; what is not given is good. An empty ``name`` writes no file."""
        name = f"{image_id}.jpg" if name is None else name
        if name:
            (self.root / "JPEGImages" / name).write_bytes(jpeg() if image is None else image)
        xml = annotation() if xml is None else xml
        content = xml.encode() if isinstance(xml, str) else xml
        (self.root / "Annotations" / f"{image_id}.xml").write_bytes(content)
        self.ids.append(image_id)
        self.write_list("\n".join(self.ids).encode())

    def write_list(self, content: bytes) -> None:
        """Writes the list of all splits."""
        (self.root / "ImageSets/Main/all.txt").write_bytes(content)

    def module(self, on_error: str = "raise", workers: int = 1, **options: Any) -> VOCDataModule:
        """A data module that trains and evaluates on all images."""
        settings = {
            "classes": None,
            "size": SIZE,
            "batch_size": 2,
            "eval_batch_size": 1,
            "train_transform": ssd_train_transform,
            "eval_transform": ssd_eval_transform,
        } | options
        module = VOCDataModule(
            root=str(self.root),
            train_splits=["all"],
            val_splits=["all"],
            num_workers=workers,
            on_error=on_error,  # type: ignore[arg-type]
            **settings,
        )
        module.setup()
        return module

    def serve(self, on_error: str = "raise", workers: int = 1, **options: Any) -> Served:
        """Reads the set and loads every image."""
        module = self.module(on_error, workers, **options)
        train = [image_id for batch in module.train_dataloader() for image_id in batch.image_ids]
        colours, objects = {}, {}
        for batch in module.val_dataloader():
            for i, image_id in enumerate(batch.image_ids):
                colours[image_id] = tuple(batch.images[i].float().mean(dim=(1, 2)).tolist())
                objects[image_id] = int((batch.labels[i] >= 0).sum())
        return Served(train, list(colours), colours, objects, module.problems())


def jpeg(size: tuple[int, int] = (SIZE, SIZE), **options: Any) -> bytes:
    """A JPEG of one colour, of (width, height)."""
    return encoded(Image.new("RGB", size, COLOUR), "JPEG", quality=95, **options)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file of some kind."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def annotation(
    box: tuple[object, ...] = (5, 5, 40, 40), name: str = "cat", extra: str = "", size: str = ""
) -> str:
    """An annotation with one object."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    bndbox = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    object_ = f"<object><name>{name}</name><bndbox>{bndbox}</bndbox></object>"
    return f"<annotation>{size}{object_}{extra}</annotation>"
