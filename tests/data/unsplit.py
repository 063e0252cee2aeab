"""Sets without lists of splits, as tools and people leave them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.small_set import SIZE, annotation

COUNT = 10
LINE = "0.4 0.4 0.5 0.5"
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def image(path: Path, number: int) -> None:
    """Noise: no two of them look alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    cells = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8))
    cells.resize((SIZE, SIZE)).save(path, "JPEG", quality=95)


def xml(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f"<size><width>{SIZE}</width><height>{SIZE}</height></size>"
    path.write_text(annotation((5, 5, 30, 40), "dog" if number % 2 else "cat", size=size))


def _voc(images: str, annotations: str, **lists: range) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for number in range(COUNT):
            image(root / images / f"{number}.jpg", number)
            xml(root / annotations / f"{number}.xml", number)
        for name, numbers in lists.items():
            path = root / f"ImageSets/Main/{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(map(str, numbers)))

    return write


def _coco(file: str, images: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        entries, objects = [], []
        for number in range(COUNT):
            image(root / images / f"{number}.jpg", number)
            entries.append({"id": number, "file_name": f"{number}.jpg", "width": SIZE, "height": SIZE})
            about: dict[str, Any] = {"id": number, "image_id": number, "category_id": 1 + number % 2}
            objects.append({**about, "bbox": [4, 4, 26, 36], "iscrowd": int(number == 4)})
        content = {"images": entries, "annotations": objects, "categories": CATEGORIES}
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(json.dumps(content))

    return write


def _yolo(images: str, labels: str, **files: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for number in range(COUNT):
            image(root / images / f"{number}.jpg", number)
            (root / labels).mkdir(parents=True, exist_ok=True)
            (root / labels / f"{number}.txt").write_text(f"{number % 2} {LINE}\n")
        for name, content in files.items():
            (root / name.replace("__", "/").replace("_", ".")).write_text(content)

    return write


UNSPLIT: dict[str, tuple[str, Callable[[Path], None]]] = {
    "voc flat": ("voc", _voc(".", ".")),
    "voc folders": ("voc", _voc("JPEGImages", "Annotations")),
    "voc small letters": ("voc", _voc("images", "annotations")),
    "voc subfolders": ("voc", _voc("JPEGImages/day", "Annotations/day")),
    "voc train alone": ("voc", _voc("JPEGImages", "Annotations", train=range(COUNT))),
    "voc val alone": ("voc", _voc("JPEGImages", "Annotations", val=range(COUNT))),
    "voc default": ("voc", _voc("JPEGImages", "Annotations", default=range(COUNT))),
    "voc folder valid": ("voc", _voc("valid", "valid")),
    "coco flat": ("coco", _coco("_annotations.coco.json", ".")),
    "coco val alone": ("coco", _coco("annotations/instances_val2017.json", "val2017")),
    "coco instances_default": ("coco", _coco("annotations/instances_default.json", "images")),
    "yolo train alone": ("yolo", _yolo("images", "labels", data_yaml="train: images\nnames: [cat, dog]\n")),
    "yolo names alone": ("yolo", _yolo("images", "labels", data_yaml="names: [cat, dog]\n")),
    "yolo empty val": (
        "yolo",
        _yolo("images", "labels", data_yaml="train: images\nval:\ntest:\nnames: [cat, dog]\n"),
    ),
    "yolo label studio": ("yolo", _yolo("images", "labels", classes_txt="cat\ndog\n")),
    "yolo labelimg": ("yolo", _yolo("images", "labels", labels__classes_txt="cat\ndog\n")),
    "yolo flat": ("yolo", _yolo(".", ".", classes_txt="cat\ndog\n")),
    "yolo cvat": (
        "yolo",
        _yolo(
            "obj_train_data", "obj_train_data", obj_names="cat\ndog\n",
            obj_data="classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            train_txt="\n".join(f"data/obj_train_data/{number}.jpg" for number in range(COUNT)),
        ),
    ),
}  # fmt: skip
