"""Mistakes planted in a COCO annotation file, found by annotation id."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.data.sources import COCODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.fix import write_fixed_copy
from detection.inspection.inspect import Inspection, inspect_dataset
from detection.inspection.selection import select

NAMES = ("cat", "dog")


def write_split(root: Path, split: str, seed: int) -> dict[str, Any]:
    """Six images of 40 x 60 (height x width) with a cat and a dog each."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    folder = root / split
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(1, 7):
        name = f"{number:03d}.jpg"
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(folder / name)
        images.append({"id": 10 * number, "file_name": name, "width": 60, "height": 40})
        for category in (7, 3):
            box = [10.0 * (category == 7), 5, 20, 15.5]
            annotation = {"image_id": 10 * number, "category_id": category, "bbox": box, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **annotation})
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, dict[str, Any]]:
    return {split: write_split(tmp_path, split, seed) for seed, split in enumerate(("train", "val"))}


def inspect(root: Path, documents: dict[str, Any], **changes: Any) -> Inspection:
    for split, document in documents.items():
        text = document if isinstance(document, str) else json.dumps(document)
        (root / f"{split}.json").write_text(text)
    known: dict[str, Any] = {
        "root": str(root),
        **{f"{split}_images": split for split in ("train", "val")},
        **{f"{split}_annotations": f"{split}.json" for split in ("train", "val")},
        "size": 96,
        "train_transform": ssd_train_transform,
        "eval_transform": ssd_eval_transform,
    }
    return inspect_dataset(COCODataModule(**{**known, **changes}), str(root), workers=1)


def test_nothing_is_found_in_a_clean_set(tmp_path: Path, documents: dict[str, Any]) -> None:
    inspection = inspect(tmp_path, documents)
    assert inspection.findings == []
    assert inspection.classes == NAMES, "in the order of the category ids"
    assert len(inspection.images) == 12
    boxes = {item.name: item.box for item in inspection.images[0].record.objects}
    assert boxes == {"dog": (10, 5, 30, 20.5), "cat": (0, 5, 20, 20.5)}


def test_every_planted_mistake_is_found(tmp_path: Path, documents: dict[str, Any]) -> None:
    train = documents["train"]
    annotations, images = train["annotations"], train["images"]
    annotations[0]["bbox"] = [10, 5, 0, 10]
    annotations[1]["bbox"] = [10, 5, float("nan"), 10]
    annotations[2]["bbox"] = [10, 5, 10]
    annotations[3]["bbox"] = [70, 5, 10, 10]
    annotations[10]["bbox"] = [50, 5, 20, 10]
    annotations[5]["category_id"] = 9
    annotations[6]["image_id"] = 1234
    annotations[7]["id"] = 7
    del annotations[8]["bbox"]
    annotations[9]["bbox"] = [10, 5, 3, 10]
    annotations.append({**annotations[11], "id": 50})
    images[4]["width"] = 61
    del images[5]["height"]
    images.append({"id": 70, "file_name": "gone.jpg", "width": 60, "height": 40})
    images.append({**images[0], "id": 80})
    (tmp_path / "train" / "003.jpg").write_bytes(b"no image")
    inspection = inspect(tmp_path, documents)
    found = [(item.kind, item.file, item.object) for item in inspection.findings]
    expected = [
        ("bad-coordinate", "train.json", 2),
        ("bad-coordinate", "train.json", 3),
        ("box-outside", "train.json", 4),
        ("box-past-border", "train.json", 11),
        ("duplicate-box", "train.json", 50),
        ("duplicate-id", "train.json", 7),
        ("empty-box", "train.json", 1),
        ("image-of-another-size", "train/005.jpg", None),
        ("listed-twice", "train.json", None),
        ("missing-image", "train.json", None),
        ("missing-size", "train.json", None),
        ("missing-tag", "train.json", 9),
        ("small-box", "train.json", 10),
        ("unknown-class", "train.json", 6),
        ("unknown-image", "train.json", 7),
        ("unreadable-image", "train/003.jpg", None),
    ]  # fmt: skip
    assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_files_that_are_not_cocos_are_said_to_be_so(
    tmp_path: Path, documents: dict[str, Any], text: str
) -> None:
    inspection = inspect(tmp_path, {**documents, "val": text})
    assert "broken-annotation" in {item.kind for item in inspection.findings if item.file == "val.json"}


def test_boxes_belong_to_the_image_as_shown_and_stay_with_it_in_the_copy(
    tmp_path: Path, documents: dict[str, Any]
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn: 40 x 60 is shown as 60 x 40
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :10] = 255  # the left edge as stored is the top as shown
    Image.fromarray(pixels).save(tmp_path / "val" / "001.jpg", exif=turned, quality=95)
    documents["val"]["images"][0] |= {"width": 40, "height": 60}
    documents["val"]["annotations"][0]["bbox"] = [0, 0, 40, 10]
    inspection = inspect(tmp_path, documents)
    assert [(item.kind, item.file) for item in inspection.findings] == [("exif-orientation", "val/001.jpg")]
    output = tmp_path / "copy"
    write_fixed_copy(select(inspection), output)
    (png,) = (output / "JPEGImages").glob("*.png")
    with Image.open(png) as image:
        copied = np.asarray(image)
    assert copied.shape[:2] == (60, 40)
    assert copied[:9].min() > 200
    assert copied[12:].max() < 50
    xml = (output / "Annotations" / f"{png.stem}.xml").read_text()
    assert "<ymin>1</ymin><xmax>40</xmax><ymax>10</ymax>" in "".join(xml.split())
