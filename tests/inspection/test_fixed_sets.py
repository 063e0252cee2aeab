"""A corrected copy has no error and is trained on, whatever was read and whatever was wrong with it."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.conversion import convert
from detection.data.datamodule import DetectionDataModule
from detection.data.formats.findings import KINDS
from detection.data.sources import AutoDataModule, COCODataModule, VOCDataModule, YOLODataModule
from detection.inspection.duplicates import find_near_duplicates
from detection.inspection.fix import write_fixed_copy
from detection.inspection.inspect import Inspection, inspect_dataset
from detection.inspection.report import write_json
from detection.inspection.selection import BEYOND_REPAIR, CHANGES, select
from detection.inspection.statistics import compute_statistics
from tests.data.training import train_tiny
from tests.inspection.test_agreement import FORMATS, SETTINGS, check, mutated, train
from tests.inspection.test_inspect_voc import (
    plant_in_annotations,
    plant_in_images,
    plant_in_lists,
    plant_in_objects,
)
from tests.inspection.test_page import coverage_of, page_of

if TYPE_CHECKING:
    from tests.inspection.conftest import VOCFolder

# Mistakes of whole sets, which a copy cannot have or cannot put right: they have tests of their own.
OF_SETS = {"missing-list", "empty-split", "incomplete-copy", "misspelt-class", "nothing-to-learn"}


def broken_voc(clean: "VOCFolder", root: Path) -> DetectionDataModule:
    folder = type(clean)(root / "voc")
    clean.root.rename(folder.root)
    for plant in (plant_in_objects, plant_in_annotations, plant_in_images, plant_in_lists):
        plant(folder)
    folder.add_object("train_00041", "bad\u202ename", (5, 5, 40, 40))
    options: dict[str, Any] = {"train_splits": ["train"], "val_splits": ["val"], "classes": None}
    return VOCDataModule(root=str(folder.root), **options, **SETTINGS)


def broken_coco(clean: "VOCFolder", root: Path) -> DetectionDataModule:
    convert("voc", "coco", str(clean.root), str(root / "coco"))
    path = root / "coco/annotations/instances_train2017.json"
    train = json.loads(path.read_text())
    images, objects = train["images"], train["annotations"]
    first = {item["image_id"]: item for item in reversed(objects)}  # an object of each image
    for number, box in enumerate(
        ([9, 9, 0, 9], [9, 9, "x", 9], [9, 9, 9], [200, 9, 9, 9], [60, 9, 90, 9]), 1
    ):
        first[number]["bbox"] = box
    del first[6]["bbox"]
    first[7]["category_id"] = 99
    first[8]["image_id"] = 1234
    images[9]["width"] = 97
    del images[10]["id"]
    del images[11]["file_name"]
    images[12]["id"] = images[13]["id"]
    images.append({**images[14], "id": 900})
    images.append({"id": 901, "file_name": "gone.jpg", "width": 96, "height": 96})
    for number, content in (
        (15, b"no image"),
        (16, (root / "coco/train2017/train_00016.jpg").read_bytes()[:900]),
    ):
        (root / f"coco/train2017/train_{number:05d}.jpg").write_bytes(content)
    train["categories"] += [{"id": 50}, {"id": 51, "name": "circle"}, {"id": 52, "name": "${run_dir}"}]
    train["categories"] += [{"id": 53, "name": "unicorn"}]  # which only the validation shows
    objects += [{"id": 8001, "image_id": 20, "category_id": 52, "bbox": [9, 9, 30, 30]}]
    objects += [{"id": 8002, "image_id": 21, "category_id": 50, "bbox": [9, 9, 30, 30]}]
    path.write_text(json.dumps(train))
    path = path.with_name("instances_val2017.json")
    val = json.loads(path.read_text())
    val["categories"] += [{"id": 53, "name": "unicorn"}]
    val["annotations"] += [{"id": 9000, "image_id": 1, "category_id": 53, "bbox": [9, 9, 30, 30]}]
    path.write_text(json.dumps(val))
    return COCODataModule(root=str(root / "coco"), **SETTINGS)


def broken_yolo(clean: "VOCFolder", root: Path) -> DetectionDataModule:
    convert("voc", "yolo", str(clean.root), str(root / "yolo"))
    root = root / "yolo"
    lines = ("77 .5 .5 .2 .2", "0 .5 .5 .2", "0 .5 x .5 .5", "0 30 20 10 10", "0 .5 .5 0 .2", "0 .9 .5 .4 .4")
    for number, line in enumerate(lines):
        with (root / f"labels/train/train_{number:05d}.txt").open("a") as file:
            file.write(f"{line}\n")
    (root / "labels/train/train_00010.txt").write_bytes(b"\xff\xfe\xfa")
    (root / "labels/train/lonely.txt").write_text("0 .5 .5 .5 .5\n")
    (root / "images/train/train_00011.jpg").write_bytes(b"")
    path = root / "images/train/train_00012.jpg"
    path.write_bytes(path.read_bytes()[:900])
    images = sorted((root / "images/train").iterdir())
    twin = root / "images/train/train_00009.png"  # two images of one label file
    Image.open(images[9]).transpose(Image.Transpose.ROTATE_180).save(twin)
    odd = images[13].rename(images[13].with_name(" ends in a number 1 .jpg"))
    (root / f"labels/train/{images[13].stem}.txt").rename(root / f"labels/train/{odd.stem}.txt")
    listed = [*images[:13], odd, *images[14:], images[0], Path("gone.jpg")]
    (root / "train.txt").write_text("".join(f"{path}\n" for path in listed))
    description = yaml.safe_load((root / "data.yaml").read_text())
    names = [*description["names"].values(), "CIRCLE"]
    described = {**description, "names": names, "train": ["train.txt", "images/train"]}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    return YOLODataModule(root=str(root), **SETTINGS)


BROKEN: dict[str, tuple[Callable[["VOCFolder", Path], DetectionDataModule], set[str]]] = {
    "voc": (
        broken_voc,
        {kind for kind, severity in KINDS.items() if severity == "error"}
        - OF_SETS
        - {"unknown-image", "image-of-another-size", "unknown-class", "shared-labels", "bad-file-name"},
    ),
    "coco": (
        broken_coco,
        {"missing-tag", "bad-coordinate", "missing-image", "unreadable-image", "truncated-image", "empty-box"}
        | {"image-of-another-size", "box-outside", "unknown-class", "bad-class-name", "unknown-image"}
        | {"listed-twice"},
    ),
    "yolo": (
        broken_yolo,
        {"broken-annotation", "missing-tag", "bad-coordinate", "missing-image", "unreadable-image"}
        | {"truncated-image", "empty-box", "unknown-class", "bad-class-name", "listed-twice"}
        | {"shared-labels"},
    ),
}


def fixed(inspection: Inspection, output: Path) -> DetectionDataModule:
    write_fixed_copy(select(inspection), output)
    return fixed_set(output)


def fixed_set(output: Path, **changes: Any) -> DetectionDataModule:
    options: dict[str, Any] = {"train_splits": ["train"], "val_splits": ["val"], "classes": None}
    return VOCDataModule(root=str(output), **{**SETTINGS, **options, **changes})


def train_an_epoch(data: DetectionDataModule) -> None:
    trainer, _ = train_tiny(data, max_epochs=1)
    assert trainer.global_step == len(data.datasets["train"]) // 8
    assert torch.isfinite(trainer.callback_metrics["train/loss"])


@pytest.mark.parametrize("kind", BROKEN)
def test_a_set_with_one_of_each_mistake_is_trained_on(kind: str, folder: "VOCFolder", tmp_path: Path) -> None:
    write, expected = BROKEN[kind]
    data: Any = write(folder, tmp_path)
    before = inspect_dataset(data, data.root, workers=1)
    assert {item.kind for item in before.findings if item.severity == "error"} == expected
    output = tmp_path / "fixed"
    copy = fixed(before, output)
    told = (output / "changes.txt").read_text().splitlines()
    for item in before.findings:
        if item.severity == "error":
            assert any(line.startswith(item.place.partition(" (")[0]) for line in told), item.sentence
    assert (check(copy), train(copy)) == ("", "")
    if kind != "voc":  # whose val has mistakes
        kept = (output / "ImageSets/Main/val.txt").read_text().split("\n")
        assert len(kept) == 30 + 1, "an id of train is left out, and not that of val"
    train_an_epoch(fixed_set(output, size=128, batch_size=8))


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_happened_the_copy_is_clean_or_refused(kind: str, data: st.DataObject) -> None:
    with mutated(data.draw, kind) as module:
        try:
            inspection = inspect_dataset(module, module.root, workers=1)  # type: ignore[attr-defined]
        except (ValueError, OSError):
            return
        output = Path(module.root, "fixed copy")  # type: ignore[attr-defined]
        try:
            copy = fixed(inspection, output)
        except ValueError as refusal:
            copy, told = None, str(refusal)
        if copy is None:
            assert told.startswith("No copy can put this right")
        else:
            assert (check(copy), train(copy)) == ("", "")


def test_every_error_has_an_end() -> None:
    errors = {kind for kind, severity in KINDS.items() if severity == "error"}
    assert errors <= CHANGES.keys() | set(BEYOND_REPAIR)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_images_whose_names_no_list_can_hold_are_told_and_left_out(
    folder: "VOCFolder", tmp_path: Path
) -> None:
    shutil.rmtree(folder.root / "ImageSets")
    odd = ("b\udce9", "c\x1b]0;x", "d\ne")
    for number, name in enumerate(odd):
        for path in (folder.xml(f"train_{number:05d}"), folder.image(f"train_{number:05d}")):
            path.rename(path.with_name(f"{name}{path.suffix}"))
    data = AutoDataModule(root=str(folder.root), **SETTINGS)
    told = train(data)
    assert "which has control characters in its name: rename it" in told
    assert "\x1b" not in told
    inspection = inspect_dataset(data, str(folder.root), min_side=4, workers=1)
    assert [item.kind for item in inspection.findings if item.severity == "error"] == ["bad-file-name"] * 3
    page_of(inspection, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert r"c\x1b]0;x" in page
    write_report(tmp_path / "report.json", inspection)
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["findings"]
    assert f"Annotations/{odd[0]}.xml" in {item["file"] for item in kept}
    copy = fixed(inspection, tmp_path / "copy")
    assert (check(copy), train(copy)) == ("", "")
    assert len([*(tmp_path / "copy/JPEGImages").iterdir()]) == 71


def write_report(path: Path, inspection: Inspection) -> None:
    statistics, coverage = compute_statistics(inspection), coverage_of(inspection)
    write_json(path, inspection, statistics, coverage, find_near_duplicates(inspection.images), "ssd", [])


def test_a_split_without_images_is_refused_and_a_test_left_out(folder: "VOCFolder", tmp_path: Path) -> None:
    folder.list_file("test").write_text("nobody\n")
    inspection = folder.inspect(test_splits=["test"])
    assert select(inspection).splits == ["train", "val"]
    write_fixed_copy(select(inspection), tmp_path / "copy")
    data = AutoDataModule(root=str(tmp_path / "copy"), **SETTINGS)
    assert (check(data), train(data), data.test_is_val) == ("", "", True)
    folder.list_file("val").write_text("nobody\n")
    with pytest.raises(ValueError, match="no image of val can be used"):
        select(folder.inspect())


def test_boxes_by_another_rule_are_refused(folder: "VOCFolder", tmp_path: Path) -> None:
    convert("voc", "coco", str(folder.root), str(tmp_path / "coco"))
    path = tmp_path / "coco/annotations/instances_train2017.json"
    train = json.loads(path.read_text())
    for item in train["annotations"]:
        item["bbox"] = [value / 96 for value in item["bbox"]]
    path.write_text(json.dumps(train))
    data = COCODataModule(root=str(tmp_path / "coco"), **SETTINGS)
    with pytest.raises(ValueError, match=r"No copy can put this right: .* multiply them by width and height"):
        select(inspect_dataset(data, data.root, workers=1))
