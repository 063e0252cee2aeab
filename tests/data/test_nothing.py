"""Splits without objects, and tests on the validation images."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data.nothing import nothing_to_find
from detection.data.sources import COCODataModule, ShapesDataModule, VOCDataModule, YOLODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform

SSD: dict[str, Any] = {
    "size": 64, "train_transform": ssd_train_transform, "eval_transform": ssd_eval_transform,
    "num_workers": 0, "batch_size": 2,
}  # fmt: skip


def coco(folder: Path, train_crowd: int, val_crowd: int, **options: Any) -> COCODataModule:
    """Three images for each of training and validation, with one object each, or one crowd."""
    for split, crowd in (("train", train_crowd), ("val", val_crowd)):
        (folder / split).mkdir(exist_ok=True)
        images, annotations = [], []
        for number in range(1, 4):
            cv2.imwrite(str(folder / split / f"{split}{number}.jpg"), np.full((40, 60, 3), 99, np.uint8))
            images.append({"id": number, "file_name": f"{split}{number}.jpg", "width": 60, "height": 40})
            annotations.append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400,
                 "iscrowd": crowd, "segmentation": {"counts": [2400], "size": [40, 60]} if crowd else []}
            )  # fmt: skip
        about = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
        (folder / f"{split}.json").write_text(json.dumps(about))
    data = COCODataModule(
        root=str(folder), train_images="train", train_annotations="train.json", val_images="val",
        val_annotations="val.json", **{**SSD, **options},
    )  # fmt: skip
    data.setup()
    return data


def test_a_training_of_crowds_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of 3 training images none has an object to train on .*crowd"):
        coco(tmp_path, train_crowd=1, val_crowd=0)


def test_the_few_images_to_overfit_may_hold_nothing(tmp_path: Path) -> None:
    coco(tmp_path, 0, 0)
    about = json.loads((tmp_path / "train.json").read_text())
    about["annotations"] = about["annotations"][2:]
    (tmp_path / "train.json").write_text(json.dumps(about))
    data = COCODataModule(
        root=str(tmp_path), train_images="train", train_annotations="train.json", overfit_images=2, **SSD
    )
    with pytest.raises(ValueError, match="of 2 training images none"):
        data.setup()


def test_a_validation_of_crowds_alone_is_told(tmp_path: Path) -> None:
    data = coco(tmp_path, train_crowd=0, val_crowd=1)
    val, test = nothing_to_find(data.datasets)
    assert "val holds nothing to find (no object that counts in 3 images); val/map is undefined" in val
    assert "test holds nothing to find" in test


def test_nothing_is_told_where_there_is_something(tmp_path: Path) -> None:
    assert nothing_to_find(coco(tmp_path, 0, 0).datasets) == []


def test_what_a_test_really_is(tmp_path: Path) -> None:
    data = coco(tmp_path, 0, 0)
    assert data.describe_split("test") == "test = val, 3 images; no test list"
    assert data.describe_split("val") == "val, 3 images"
    real = coco(tmp_path, 0, 0, test_images="val", test_annotations="val.json")
    assert real.describe_split("test") == "test, 3 images"
    few = coco(tmp_path, 0, 0, overfit_images=2)
    assert few.describe_split("test") == "test = train, 2 images; data.overfit_images=2"


def test_each_source_knows_whether_it_has_a_test() -> None:
    voc: dict[str, Any] = {"root": "x", "train_splits": ["train"], "val_splits": ["val"], **SSD}
    assert VOCDataModule(**voc).test_is_val
    assert not VOCDataModule(**voc, test_splits=["test"]).test_is_val
    assert YOLODataModule(root="x", **SSD).test_is_val
    assert not YOLODataModule(root="x", test_split="test", **SSD).test_is_val
    assert not ShapesDataModule(root="x", **SSD).test_is_val
