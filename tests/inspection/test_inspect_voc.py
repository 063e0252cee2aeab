"""Every kind of mistake is planted in a VOC-style folder and found where it is."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from detection.data.formats.findings import KINDS
from detection.inspection.inspect import Inspection

if TYPE_CHECKING:
    from tests.inspection.conftest import VOCFolder

# Kinds of findings that other tests plant, or that only other formats have.
ELSEWHERE = {
    *(
        "missing-list",
        "missing-split",
        "unlisted-by-voc",
        "unknown-image",
        "shared-labels",
        "known-empty-box",
        "duplicate-id",
        "image-of-another-size",
    ),
    *(
        "incomplete-copy",
        "misspelt-class",
        "bad-class-name",
        "bad-file-name",
        "nothing-to-learn",
        "unknown-class",
        "set-apart",
        "unannotated-images",
    ),
}
Place = tuple[str, str, int | None]


def places(inspection: Inspection) -> list[Place]:
    return sorted(((item.kind, item.file, item.object) for item in inspection.findings), key=str)


def annotation(image_id: str) -> str:
    return f"Annotations/{image_id}.xml"


def picture(image_id: str) -> str:
    return f"JPEGImages/{image_id}.jpg"


def test_nothing_is_found_in_a_clean_set(folder: "VOCFolder") -> None:
    inspection = folder.inspect()
    assert inspection.findings == []
    assert len(inspection.images) == 74
    assert all(image.facts is not None for image in inspection.images)
    assert len(inspection.classes) == 8


def plant_in_objects(folder: "VOCFolder") -> list[Place]:
    """Mistakes of single objects, each in an image of its own."""
    expected: list[Place] = []

    def plant(number: int, kind: str, box: tuple[float | str, ...], name: str = "circle") -> str:
        image_id = f"train_{number:05d}"
        expected.append((kind, annotation(image_id), folder.add_object(image_id, name, box)))
        return image_id

    plant(0, "missing-tag", (5, 5, 20, 20), name="")
    image_id = plant(1, "missing-tag", (5, 5, 20, 20))
    folder.remove(image_id, f"object[{expected[-1][2]}]/bndbox")
    image_id = plant(2, "missing-tag", (5, 5, 20, 20))
    folder.remove(image_id, f"object[{expected[-1][2]}]/bndbox/ymax")
    plant(3, "bad-coordinate", (5, 5, "nan", 20))
    plant(4, "bad-coordinate", (5, "five", 20, 20))
    plant(5, "bad-coordinate", (5, 5, 20, "inf"))
    plant(31, "bad-coordinate", (0.25, 0.25, 0.5, 1))
    plant(6, "empty-box", (20, 5, 5, 20))
    plant(7, "empty-box", (5, 20, 20, 19))
    plant(8, "box-outside", (200, 200, 220, 220))
    plant(9, "box-past-border", (60, 60, 110.5, 90))
    plant(10, "small-box", (5, 5, 7, 40))
    image_id = plant(11, "duplicate-box", (5, 5, 41, 40))
    expected[-1] = (expected[-1][0], expected[-1][1], folder.add_object(image_id, "circle", (5, 5, 41, 40)))
    image_id = plant(12, "duplicate-box", (5, 5, 41, 40))
    expected[-1] = (expected[-1][0], expected[-1][1], folder.add_object(image_id, "star", (5, 5, 41, 40)))
    folder.set_text("train_00013", "size/width", "192")
    expected.append(("size-mismatch", annotation("train_00013"), None))
    plant(13, "box-of-another-size", (100, 10, 190, 60))
    plant(14, "similar-class-names", (5, 5, 41, 40), name="Circle")
    plant(15, "similar-class-names", (5, 5, 41, 40), name="circel")
    folder.add_object("val_00000", "zebra", (5, 5, 41, 40))
    return [*expected, ("class-missing-in-split", "ImageSets/Main/train.txt", None)]


def plant_in_annotations(folder: "VOCFolder") -> list[Place]:
    """Mistakes of whole annotations."""
    folder.xml("train_00016").write_text("<annotation><object>")
    entities = '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'
    folder.xml("train_00017").write_text(entities)
    folder.xml("train_00018").unlink()
    folder.remove("train_00019", "size")
    folder.set_text("train_00020", "size/height", "500")
    folder.set_text("train_00021", "filename", "holiday.png")
    for _ in range(folder.xml("train_00022").read_text().count("<object>")):
        folder.remove("train_00022", "object")
    shutil.copy(folder.xml("train_00023"), folder.xml("nobody"))
    return [
        ("broken-annotation", annotation("train_00016"), None),
        ("broken-annotation", annotation("train_00017"), None),
        ("missing-annotation", annotation("train_00018"), None),
        ("missing-size", annotation("train_00019"), None),
        ("size-mismatch", annotation("train_00020"), None),
        ("filename-mismatch", annotation("train_00021"), None),
        ("no-objects", annotation("train_00022"), None),
        ("unlisted-annotation", annotation("nobody"), None),
    ]


def plant_in_images(folder: "VOCFolder") -> list[Place]:
    """Mistakes of image files."""
    folder.image("train_00024").unlink()
    folder.image("train_00025").write_bytes(b"<html>404</html>")
    content = folder.image("train_00026").read_bytes()
    folder.image("train_00026").write_bytes(content[: len(content) // 2])
    with Image.open(folder.image("train_00027")) as image:
        image.load()
    image.convert("L").save(folder.image("train_00027"))
    image.convert("CMYK").save(folder.image("train_00028"))
    turned = Image.Exif()
    turned[0x0112] = 6
    image.rotate(180).save(folder.image("train_00029"), exif=turned)
    folder.image("train_00030").unlink()
    folder.set_text("train_00030", "filename", "train_00030.png")
    Image.new("I;16", image.size, 4000).save(folder.image("train_00030").with_suffix(".png"))
    return [
        ("missing-image", annotation("train_00024"), None),
        ("unreadable-image", picture("train_00025"), None),
        ("truncated-image", picture("train_00026"), None),
        ("not-rgb", picture("train_00027"), None),
        ("not-rgb", picture("train_00028"), None),
        ("exif-orientation", picture("train_00029"), None),
        ("deep-image", "JPEGImages/train_00030.png", None),
    ]


def plant_in_lists(folder: "VOCFolder") -> list[Place]:
    """Mistakes of the lists, and repeated images."""
    folder.enlist("train", "train_00031")
    folder.enlist("val", "train_00032")
    for split in ("train", "val"):
        copy = f"{split}_copy"
        shutil.copy(folder.xml("train_00033"), folder.xml(copy))
        shutil.copy(folder.image("train_00033"), folder.image(copy))
        folder.set_text(copy, "filename", f"{copy}.jpg")
        folder.enlist(split, copy)
    folder.list_file("test").write_text("\n")
    for image_id in set(folder.list_file("val").read_text().split()) - {"train_00032", "val_copy"}:
        text = folder.xml(image_id).read_text()
        folder.xml(image_id).write_text(text.replace("<name>arrow</name>", "<name>circle</name>"))
    for image_id in ("train_00032", "train_00033"):
        assert "arrow" not in folder.xml(image_id).read_text(), "choose another class for this test"
    return [
        ("listed-twice", "ImageSets/Main/train.txt", None),
        ("in-two-splits", annotation("train_00032"), None),
        ("duplicate-image", picture("train_copy"), None),
        ("duplicate-image-across-splits", picture("val_copy"), None),
        ("class-missing-in-split", "ImageSets/Main/val.txt", None),
        ("empty-split", "ImageSets/Main/test.txt", None),
    ]


def plant_everything(folder: "VOCFolder") -> list[Place]:
    return [
        *plant_in_objects(folder),
        *plant_in_annotations(folder),
        *plant_in_images(folder),
        *plant_in_lists(folder),
    ]


def test_every_planted_mistake_is_found_where_it_is_and_nothing_else(folder: "VOCFolder") -> None:
    expected = plant_everything(folder)
    assert len(expected) >= 35
    inspection = folder.inspect(test_splits=["test"])
    assert places(inspection) == sorted(expected, key=str)
    assert set(KINDS) - {kind for kind, _, _ in expected} == ELSEWHERE


def test_messages_name_the_place_in_the_words_of_the_file_and_the_remedy(folder: "VOCFolder") -> None:
    number = folder.add_object("train_00000", "circle", (20, 5, 5, 21.5))
    folder.add_object("train_00001", "sqare", (5, 5, 30, 30))
    inspection = folder.inspect(classes=sorted({*folder.names("val")}))
    unknown, inverted = sorted(inspection.findings, key=lambda item: item.kind, reverse=True)
    assert inverted.severity == unknown.severity == "error"
    assert f"object {number} (circle) with box xmin=20, ymin=5, xmax=5, ymax=21.5" in inverted.message
    assert "remove it" in inverted.message
    assert "'sqare', did you mean 'square'?" in unknown.message


def test_classes_that_are_left_out_on_purpose_are_no_mistake(folder: "VOCFolder") -> None:
    classes = ["circle", "square"]
    strict = folder.inspect(classes=classes)
    others = sum(name not in classes for split in ("train", "val") for name in folder.names(split))
    assert sum(item.kind == "unknown-class" for item in strict.findings) == others
    relaxed = folder.inspect(classes=classes, other_classes="skip")
    assert relaxed.findings == []
    assert {item.name for image in relaxed.images for item in image.record.objects} == set(classes)


def test_sets_that_count_pixels_from_zero_are_no_mistake(folder: "VOCFolder") -> None:
    folder.add_object("train_00000", "circle", (0, 0, 96, 96))
    assert folder.inspect().findings == []


def test_a_missing_list_names_those_there_are(folder: "VOCFolder") -> None:
    (finding,) = folder.inspect(val_splits=["vall"]).findings
    assert finding.kind == "missing-list"
    assert finding.file == "ImageSets/Main/vall.txt"
    assert "train, val" in finding.message


def test_a_missing_folder_ends_in_a_sentence(folder: "VOCFolder", tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Point data\.root to the folder that holds VOCdevkit"):
        folder.inspect(root=str(tmp_path / "nothing"))


def test_val_and_test_may_share_images(folder: "VOCFolder") -> None:
    shutil.copy(folder.list_file("val"), folder.list_file("test"))
    assert folder.inspect(test_splits=["test"]).findings == []
