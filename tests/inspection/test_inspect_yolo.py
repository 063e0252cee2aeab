"""Mistakes planted in YOLO label files, found by line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from detection.data.sources import YOLODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.fix import write_fixed_copy
from detection.inspection.inspect import Inspection, inspect_dataset
from detection.inspection.selection import select


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 255, (40, 60, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{number}.png")
            labels(tmp_path, split, number).write_text("0 0.25 0.5 0.5 1.0\n1 0.2 0.2 0.2 0.2\n")
    write_yaml(tmp_path, {"train": "images/train", "val": "images/val", "names": ["cat", "dog"]})
    return tmp_path


def labels(root: Path, split: str, number: int) -> Path:
    return root / "labels" / split / f"{number}.txt"


def write_yaml(root: Path, content: dict[str, Any]) -> None:
    (root / "data.yaml").write_text(yaml.safe_dump(content))


def inspect(root: Path, **changes: Any) -> Inspection:
    known: dict[str, Any] = {
        "root": str(root),
        "size": 96,
        "train_transform": ssd_train_transform,
        "eval_transform": ssd_eval_transform,
    }
    return inspect_dataset(YOLODataModule(**{**known, **changes}), str(root), workers=1)


def places(inspection: Inspection) -> list[tuple[str, str, int | None]]:
    found = [(item.kind, item.file, item.object) for item in inspection.findings]
    return sorted(found, key=lambda place: (place[0], place[1], place[2] or 0))


def test_nothing_is_found_in_a_clean_set(root: Path) -> None:
    inspection = inspect(root)
    assert inspection.findings == []
    assert inspection.classes == ("cat", "dog")
    assert inspection.images[0].record.objects[0].box == pytest.approx((0, 0, 30, 40)), "pixels of the image"


def test_every_planted_mistake_is_found(root: Path) -> None:
    planted = {
        0: ("5 0.5 0.5 0.2 0.2", "unknown-class"),
        1: ("0 0.5 0.5 0.2", "missing-tag"),
        2: ("0 0.5 0.5 nan 0.2", "bad-coordinate"),
        3: ("0 30 20 10 10", "bad-coordinate"),
        4: ("0 0.5 0.5 0 0.2", "empty-box"),
        5: ("1 0.9 0.5 0.4 0.4", "box-past-border"),
        6: ("1 0.2 0.2 0.2 0.2", "duplicate-box"),
        7: ("1 0.5 0.5 0.05 0.5", "small-box"),
    }
    expected: list[tuple[str, str, int | None]] = []
    for number, (line, kind) in planted.items():
        with labels(root, "train", number).open("a") as file:
            file.write(f"\n{line}\n")
        expected.append((kind, f"labels/train/{number}.txt", 4))
    labels(root, "val", 0).unlink()
    labels(root, "val", 1).write_bytes(b"\xff\xfe\xfa")
    (root / "labels" / "val" / "lonely.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "images" / "val" / "2.png").write_bytes((root / "images" / "train" / "2.png").read_bytes())
    expected += [
        ("no-objects", "labels/val/0.txt", None),
        ("broken-annotation", "labels/val/1.txt", None),
        ("missing-image", "labels/val/lonely.txt", None),
        ("duplicate-image-across-splits", "images/val/2.png", None),
    ]
    assert places(inspect(root)) == sorted(expected, key=lambda place: (place[0], place[1], place[2] or 0))


def test_polygons_and_lists_of_images_are_read(root: Path) -> None:
    labels(root, "train", 0).write_text("0 0.1 0.1 0.5 0.1 0.5 0.6\n1 0.2 0.2 0.2 0.2\n")
    (root / "train.txt").write_text(
        "".join(f"images/train/{n}.png\n" for n in range(8)) + "images/train/3.png\ngone.png\n"
    )
    write_yaml(root, {"train": "train.txt", "val": "images/val", "names": {0: "cat", 1: "dog"}})
    inspection = inspect(root)
    assert places(inspection) == [("listed-twice", "train.txt", 9), ("missing-image", "train.txt", 10)]
    assert inspection.images[0].record.objects[0].box == pytest.approx((6, 4, 30, 24))


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        (
            {"train": "images/train", "val": "images/val", "names": ["cat", "dog"], "nc": 3},
            "broken-annotation",
            "nc",
        ),
        (
            {"train": "images/train", "val": "images/val", "names": {1: "cat"}},
            "broken-annotation",
            "number them from 0",
        ),
        (
            {"val": "images/val", "test": "images/val", "names": ["cat", "dog"]},
            "missing-list",
            "none to train on",
        ),
        ({"train": "images/train", "val": "nowhere", "names": ["cat", "dog"]}, "missing-list", "nowhere"),
    ],
)
def test_a_wrong_description_is_explained(root: Path, content: dict[str, Any], kind: str, word: str) -> None:
    write_yaml(root, content)
    found = [item for item in inspect(root).findings if item.kind == kind]
    assert any(word in item.message for item in found)


def test_a_missing_or_broken_description_is_a_finding(root: Path) -> None:
    (root / "data.yaml").write_text("names: [cat")
    assert {item.kind for item in inspect(root).findings} == {"broken-annotation"}
    (root / "data.yaml").unlink()
    assert {item.kind for item in inspect(root).findings} == {"missing-list"}


def test_images_that_have_other_names_in_the_copy_are_among_the_changes(root: Path, tmp_path: Path) -> None:
    odd = root / "images/train/0.png"
    odd.rename(odd.with_name(" odd .png"))
    labels(root, "train", 0).rename(labels(root, "train", 0).with_name(" odd .txt"))
    before = {path.name for path in root.rglob("*.png")}
    changes = write_fixed_copy(select(inspect(root)), tmp_path / "copy")
    assert (tmp_path / "copy/changes.txt").read_text().splitlines() == changes
    written = dict(line.split(": written as ") for line in changes)
    assert {Path(name).parent.name for name in written} == {"train", "val"}, "both have a 1.png"
    names = {path.name for path in (tmp_path / "copy/JPEGImages").iterdir()}
    assert set(written.values()) == names - before
    assert written[str(odd.with_name(" odd .png"))] == "%20odd%20.png"
