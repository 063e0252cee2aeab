"""Sets that other tools wrote hold the boxes that were given to these tools (`exports/README.md`)."""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from PIL import Image

from detection.data.conversion import convert
from detection.data.formats.layouts import recognised
from detection.data.formats.listing import listing_of
from detection.data.formats.records import ImageRecord, SplitName
from detection.data.sources import AutoDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset

EXPORTS = Path(__file__).with_name("exports")


class Given(NamedTuple):
    """What a tool was given."""

    split: SplitName
    size: tuple[int, int]
    """``(height, width)``"""
    objects: dict[str, tuple[int, int, int, int]]


GIVEN = {
    "one.jpg": Given("train", (80, 120), {"cat": (0, 0, 40, 30), "dog": (60, 20, 120, 80)}),
    "häuser 2.png": Given("train", (77, 101), {"dog": (33, 7, 100, 76)}),
    "empty.jpg": Given("train", (64, 64), {}),
    "six.jpg": Given("val", (150, 111), {"traffic light": (50, 10, 77, 92), "cat": (9, 30, 40, 88)}),
}
UPLOADS = {name: f"{i:02d}abcdef-{name.replace(' ', '_')}" for i, name in enumerate(GIVEN, 1)}

# Where each tool puts the images, or its user has them.
PLACES = {
    "datumaro-voc": "JPEGImages/{name}",
    "datumaro-coco": "images/{split}/{name}",
    "datumaro-yolo": "obj_{split}_data/{name}",
    "datumaro-ultralytics": "images/{split}/{name}",
    "label_studio-voc": "images/{upload}",
    "label_studio-coco": "images/{upload}",
    "label_studio-yolo": "images/{upload}",
    "label_studio-yolo_obb": "images/{upload}",
    "supervision-voc": "{split}/images/{name}",
    "supervision-coco": "{split}/{name}",
    "supervision-yolo": "{split}/images/{name}",
    "ultralytics-yolo": "images/{split}2017/{name}",
    "globox-voc": "JPEGImages/{name}",
    "globox-coco": "{split}/{name}",
    "globox-yolo": "images/{split}/{name}",
    "pylabel-voc": "JPEGImages/{name}",
    "pascal_voc_writer-voc": "{split}/{name}",
    "imantics-voc": "{name}",
    "sahi-coco": "{split}/{name}",
    "sahi-yolo": "{split}/{name}",
}
# These know one split; the images for validation are set apart.
WITHOUT_SPLITS = ("label_studio", "globox-voc", "pylabel", "imantics")


def bring(export: str, root: Path) -> dict[Path, str]:
    """Puts an export and its images into a folder; which image lies where."""
    shutil.copytree(EXPORTS / export, root)
    if export == "sahi-yolo":  # its paths are absolute
        text = (root / "data.yml").read_text().replace("/home/user/out/sahi-yolo", str(root))
        (root / "data.yml").write_text(text)
    names = {}
    for number, (name, given) in enumerate(GIVEN.items()):
        path = root / PLACES[export].format(name=name, split=given.split, upload=UPLOADS[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (*given.size, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        names[path] = name
    return names


def read(root: Path) -> dict[SplitName, list[ImageRecord]]:
    listing = listing_of(recognised(root), root)
    splits: tuple[SplitName, ...] = ("train", "val") if listing.has("val") else ("train",)
    return {split: listing.read(split).records for split in splits}


@pytest.mark.parametrize("export", PLACES)
def test_the_boxes_are_those_that_the_tool_was_given(export: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = bring(export, root)
    sets = read(root)
    assert ("val" in sets) != export.startswith(WITHOUT_SPLITS)
    # Most tools count VOC's pixels from 0, and one cuts them off before; within these, nobody can tell.
    tolerance = 2.01 if export.startswith("label_studio-voc") else 1.01 if export.endswith("voc") else 0.05
    seen = set()
    for split, records in sets.items():
        for record in records:
            name = names[record.path]
            seen.add(name)
            assert record.size == GIVEN[name].size
            assert split == GIVEN[name].split or "val" not in sets
            found = {item.name: item.box for item in record.objects}
            assert len(found) == len(record.objects)
            expected = {kind: pytest.approx(box, abs=tolerance) for kind, box in GIVEN[name].objects.items()}
            assert found == expected
    # Label Studio writes no XML for an image without objects, and no list says that it is one.
    assert seen == set(GIVEN) - ({"empty.jpg"} if export == "label_studio-voc" else set())

    settings: dict[str, Any] = {
        "size": (96, 96), "train_transform": ssd_train_transform, "eval_transform": ssd_eval_transform,
        "num_workers": 0, "batch_size": 1,
    }  # fmt: skip
    data = AutoDataModule(root=str(root), **settings)
    assert [f for f in inspect_dataset(data, str(root)).findings if f.severity == "error"] == []


@pytest.mark.parametrize("export", ["supervision-voc", "datumaro-voc", "sahi-coco", "label_studio-yolo_obb"])
def test_an_export_goes_through_all_formats(export: str, tmp_path: Path) -> None:
    bring(export, tmp_path / "set")
    formats: tuple[Literal["voc", "coco", "yolo"], ...] = ("yolo", "coco", "voc")
    before, root = read(tmp_path / "set"), tmp_path / "set"
    for to in formats:
        convert("auto", to, str(root), str(tmp_path / to))
        root = tmp_path / to
    after = read(root)
    assert after.keys() == before.keys()
    for split, records in before.items():
        boxes = {record.path.name: [item.box for item in record.objects] for record in after[split]}
        assert boxes == {
            record.path.name: [pytest.approx(item.box, abs=1e-2) for item in record.objects]
            for record in records
        }
