"""The corrected copy: it is clean, training reads it, and the original is as it was."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from detection.data.shapes import SHAPE_CLASSES
from detection.data.voc import VOCDetection
from detection.inspection.fix import write_fixed_copy
from detection.inspection.inspect import Inspection
from detection.inspection.selection import select

if TYPE_CHECKING:
    from tests.inspection.conftest import VOCFolder


def fix(inspection: Inspection, output: Path) -> list[str]:
    return write_fixed_copy(select(inspection), output)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def plant(folder: "VOCFolder") -> None:
    folder.add_object("train_00000", "circle", (20, 5, 5, 20))
    folder.add_object("train_00001", "circle", (200, 5, 220, 20))
    folder.add_object("train_00002", "circle", (61, 61, 130, 91))
    folder.add_object("train_00003", "Circle", (5, 5, 40, 41))
    for _ in range(2):
        folder.add_object("train_00004", "circle", (5, 5, 42, 43))
    folder.add_object("train_00005", "", (5, 5, 40, 40))
    folder.add_object("train_00006", "circle", ("x", 5, 40, 40))
    folder.set_text("train_00007", "size/width", "77")
    folder.set_text("train_00008", "filename", "other.jpg")
    folder.xml("train_00009").write_text("<annotation>")
    folder.image("train_00010").write_bytes(b"")
    folder.xml("train_00011").unlink()
    folder.enlist("train", "train_00012")
    folder.enlist("train", "val_00000")
    shutil.copy(folder.image("val_00001"), folder.image("train_00013"))
    folder.set_text("train_00014", "size/width", "300")
    folder.add_object("train_00014", "circle", (100, 5, 290, 40))
    folder.add_object("val_00002", "zebra", (5, 5, 40, 40))
    shutil.copy(folder.image("train_00015"), folder.image("train_00016"))


def test_the_copy_is_clean_and_training_reads_it(folder: "VOCFolder", tmp_path: Path) -> None:
    plant(folder)
    before = contents(folder.root)
    inspection = folder.inspect(classes=SHAPE_CLASSES)
    assert inspection.count("error") >= 10
    output = tmp_path / "deep" / "corrected"
    changes = fix(inspection, output)
    assert contents(folder.root) == before, "the original is never touched"

    fixed = type(folder)(output)
    assert fixed.inspect().findings == []
    train = VOCDetection(output, ["train"], classes=None)
    val = VOCDetection(output, ["val"], classes=train.classes)
    gone = {f"train_{number:05d}" for number in (9, 10, 11, 13, 14, 16)}
    assert {f"train_{number:05d}" for number in range(44)} - {
        name.split("/")[1] for name in train.image_ids
    } == gone
    assert len(val) == 30
    assert "Circle" not in train.classes
    assert (output / "changes.txt").read_text().splitlines() == changes


def test_classes_keep_the_order_of_the_set(folder: "VOCFolder") -> None:
    order = [*reversed(SHAPE_CLASSES), "nobody"]
    selection = select(folder.inspect(classes=order))
    assert list(selection.classes) == order[:-1]
    assert "class 'nobody': left out, no object of train has it" in selection.changes


def test_objects_are_corrected_dropped_or_kept_as_they_are(folder: "VOCFolder", tmp_path: Path) -> None:
    original = VOCDetection(folder.root, ["train"], classes=None)
    plant(folder)
    inspection = folder.inspect(classes=SHAPE_CLASSES)
    changes = fix(inspection, tmp_path / "copy")
    fixed = VOCDetection(tmp_path / "copy", ["train"], classes=original.classes)
    index = {name.split("/")[1]: position for position, name in enumerate(fixed.image_ids)}
    for number in range(17, 44):
        target = fixed.annotation(index[f"train_{number:05d}"])
        expected = original.annotation(number)
        for key in ("boxes", "labels", "difficult"):
            assert target[key].equal(expected[key]), number
    cut = fixed.annotation(index["train_00002"])["boxes"][-1]
    assert cut.tolist() == [60, 60, 96, 91]
    renamed = fixed.annotation(index["train_00003"])
    assert fixed.classes[int(renamed["labels"][-1])] == "circle"
    number = folder.count("train_00002")
    assert f"Annotations/train_00002.xml: object {number} (circle) cut at the border of the image" in changes
    assert any("val_00000" in line and "(train)" in line and "repeats" in line for line in changes)
    assert any("train_00014" in line and "boxes are of another size" in line for line in changes)
    assert any("val_00002" in line and "its class is unknown" in line for line in changes)
    assert any("train_00007" in line and "size corrected to 96x96" in line for line in changes)


def test_an_image_none_of_whose_objects_can_be_used_is_left_out(folder: "VOCFolder", tmp_path: Path) -> None:
    """Kept, it would teach that what it shows is background. Without objects from the start, it stays."""
    for name in ("train_00000", "train_00001", "train_00002"):
        while folder.count(name):
            folder.remove(name, "object")
    folder.add_object("train_00000", "circle", (20, 5, 5, 20))
    folder.add_object("train_00001", "circle", (200, 5, 220, 20))
    changes = fix(folder.inspect(classes=SHAPE_CLASSES), tmp_path / "copy")
    for name in ("train_00000", "train_00001"):
        assert f"Annotations/{name}.xml (train): left out, none of its objects can be used" in changes
    listed = (tmp_path / "copy/ImageSets/Main/train.txt").read_text().split()
    assert not {"train_00000", "train_00001"} & set(listed)
    assert "train_00002" in listed


def test_an_existing_folder_is_refused(folder: "VOCFolder", tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        fix(folder.inspect(), tmp_path / "copy")


def test_a_clean_set_is_copied_without_changes(folder: "VOCFolder", tmp_path: Path) -> None:
    assert fix(folder.inspect(), tmp_path / "copy") == []
    for name in ("train_00000", "val_00003"):
        copied = tmp_path / "copy" / "JPEGImages" / f"{name}.jpg"
        assert copied.read_bytes() == folder.image(name).read_bytes()
