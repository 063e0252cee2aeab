"""A generated VOC-style set without a mistake, and a copy of it to plant mistakes in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from detection.data.shapes import write_shapes
from detection.data.sources import VOCDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import Inspection, inspect_dataset

SIZE = 96


class VOCFolder:
    """Edits a VOC-style folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def xml(self, image_id: str) -> Path:
        return self.root / "Annotations" / f"{image_id}.xml"

    def image(self, image_id: str) -> Path:
        return self.root / "JPEGImages" / f"{image_id}.jpg"

    def list_file(self, split: str) -> Path:
        return self.root / "ImageSets" / "Main" / f"{split}.txt"

    def enlist(self, split: str, image_id: str) -> None:
        with self.list_file(split).open("a") as file:
            file.write(f"{image_id}\n")

    def inspect(self, **changes: Any) -> Inspection:
        """Inspects the folder, with some values of the data's configuration changed."""
        known: dict[str, Any] = {
            "root": str(self.root),
            "train_splits": ["train"],
            "val_splits": ["val"],
            "classes": None,
            "size": SIZE,
            "train_transform": ssd_train_transform,
            "eval_transform": ssd_eval_transform,
        }
        data = VOCDataModule(**{**known, **changes})
        return inspect_dataset(data, data.root, workers=2)

    def edit(self, image_id: str, change: Callable[[ElementTree.Element], None]) -> None:
        tree = ElementTree.parse(self.xml(image_id))
        change(tree.getroot())
        tree.write(self.xml(image_id))

    def set_text(self, image_id: str, tag: str, text: str) -> None:
        def change(root: ElementTree.Element) -> None:
            element = root.find(tag)
            assert element is not None
            element.text = text

        self.edit(image_id, change)

    def remove(self, image_id: str, tag: str) -> None:
        parent, _, name = tag.rpartition("/")

        def change(root: ElementTree.Element) -> None:
            above = root.find(parent) if parent else root
            assert above is not None
            element = above.find(name)
            assert element is not None
            above.remove(element)

        self.edit(image_id, change)

    def add_object(self, image_id: str, name: str, box: tuple[float | str, ...]) -> int:
        """Appends an object with the corners as VOC writes them and returns its number."""
        corners = "".join(
            f"<{tag}>{value}</{tag}>"
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        text = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
        self.edit(image_id, lambda root: root.append(ElementTree.fromstring(text)))
        return self.count(image_id)

    def count(self, image_id: str) -> int:
        return len(ElementTree.parse(self.xml(image_id)).findall("object"))

    def names(self, split: str) -> list[str]:
        ids = self.list_file(split).read_text().split()
        roots = [ElementTree.parse(self.xml(image_id)) for image_id in ids]
        return [element.text or "" for root in roots for element in root.findall("object/name")]


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_shapes(tmp_path_factory.mktemp("clean"), 44, 30, 0, size=SIZE) / "Shapes"
    (folder / "ImageSets" / "Main" / "test.txt").unlink()
    voc = VOCFolder(folder)
    for path in (folder / "Annotations").iterdir():
        if not voc.count(path.stem):  # an image without objects would be worth a note
            voc.add_object(path.stem, "circle", (21, 21, 70, 70))
    return folder


@pytest.fixture
def folder(clean_folder: Path, tmp_path: Path) -> VOCFolder:
    return VOCFolder(shutil.copytree(clean_folder, tmp_path / "set"))
