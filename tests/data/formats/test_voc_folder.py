import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data.formats import voc_folder
from detection.data.formats.index import FORMAT
from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.data.formats.usable import usable_records
from detection.data.formats.voc import read_annotation
from detection.data.formats.voc_folder import read_voc, unlisted_annotations

KIND = "unlisted-annotation"


def add(folder: Path, image_id: str, name: str = "cat", image: str | None = None, filename: str = "") -> None:
    """Adds an image of 40x30 pixels with one object."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "JPEGImages" / (image or f"{image_id}.jpg")), np.full((30, 40, 3), 99, np.uint8))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>"
    (folder / "Annotations" / f"{image_id}.xml").write_text(
        f"<annotation><filename>{filename}</filename><object><name>{name}</name>{box}</object></annotation>"
    )


def write_list(folder: Path, ids: list[str], split: str = "train") -> None:
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "VOC"
    for image_id in ("a", "b"):
        add(folder, image_id)
    write_list(folder, ["b", "a"])
    return folder


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The annotations parsed since the test began."""
    names: list[str] = []

    def spy(path: str) -> Any:
        names.append(Path(path).stem)
        return read_annotation(path)

    monkeypatch.setattr(voc_folder, "read_annotation", spy)
    return names


def load(folder: Path, split: str = "train") -> dict[str, ImageRecord]:
    """Every image by its id, or the refusal."""
    return {
        record.image_id.partition("/")[2]: record for record in usable_records(read_voc(folder, [split]))[0]
    }


def cache_file(folder: Path) -> Path:
    (path,) = (folder.parent / "cache" / "lightning-detection").glob("*.json")
    return path


def test_entries_in_the_order_of_the_list(folder: Path) -> None:
    entries = load(folder)
    assert list(entries) == ["b", "a"]
    assert entries["a"].path == folder / "JPEGImages/a.jpg"
    assert entries["a"].size == (30, 40)
    assert entries["a"].objects == (ObjectRecord("cat", (0.0, 1.0, 30.0, 20.0), False, 1),)


def test_second_time_reads_the_cache(folder: Path, parsed: list[str]) -> None:
    first = load(folder)
    assert parsed == ["b", "a"]
    assert load(folder) == first
    assert parsed == ["b", "a"]


def test_changed_added_and_removed_files(folder: Path, parsed: list[str]) -> None:
    load(folder)
    parsed.clear()
    add(folder, "a", name="giraffe")
    add(folder, "c")
    (folder / "Annotations" / "b.xml").unlink()
    write_list(folder, ["a", "c"])
    entries = load(folder)
    assert parsed == ["a", "c"]
    assert entries["a"].objects[0].name == "giraffe"
    assert list(json.loads(cache_file(folder).read_text())["entries"]) == ["a", "c"]


def test_same_size_but_newer_is_parsed_again(folder: Path, parsed: list[str]) -> None:
    load(folder)
    parsed.clear()
    path = folder / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("cat", "dog"))
    os.utime(path, ns=(1, 1))
    assert load(folder)["a"].objects[0].name == "dog"
    assert parsed == ["a"]


def test_resized_image_is_noticed(folder: Path) -> None:
    load(folder)
    cv2.imwrite(str(folder / "JPEGImages" / "a.jpg"), np.zeros((60, 80, 3), np.uint8))
    assert load(folder)["a"].size == (60, 80)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 0}', '{"format": 1, "entries": {"a": [1]}}'])
def test_damaged_cache_is_rebuilt(folder: Path, content: str) -> None:
    expected = load(folder)
    path = cache_file(folder)
    whole = path.read_text()
    path.write_text(content)
    assert load(folder) == expected
    assert path.read_text() == whole


def test_the_cache_of_another_convention_is_not_read(folder: Path) -> None:
    """Format 1 held boxes that ended at the middle of VOC's last pixel."""
    expected = load(folder)
    path = cache_file(folder)
    content = path.read_text()
    now = f'{{"format":{FORMAT}'
    assert content.startswith(now)
    path.write_text(content.replace(now, '{"format":1').replace("30.0,20.0", "29.0,19.0"))
    assert load(folder) == expected


def test_no_place_for_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = folder.parent / "file"
    blocked.touch()  # a file where a folder is wanted: fails for every user, root included
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert list(load(folder)) == ["b", "a"]


def test_splits_have_caches_of_their_own(folder: Path) -> None:
    write_list(folder, ["a"], "val")
    assert list(load(folder)) == ["b", "a"]
    assert list(load(folder, "val")) == ["a"]
    assert list(load(folder)) == ["b", "a"]


@pytest.mark.parametrize("image", ["c.jpeg", "c.png", "c.JPG", "photo.jpg"])
def test_image_found_by_id_or_filename(folder: Path, image: str) -> None:
    add(folder, "c", image=image, filename="photo.jpg")
    write_list(folder, ["c"])
    assert load(folder)["c"].path.name == image


def test_filename_cannot_leave_the_folder(folder: Path) -> None:
    add(folder, "c", image="../outside.jpg", filename="../outside.jpg")
    assert (folder / "outside.jpg").is_file()
    write_list(folder, ["c"])
    with pytest.raises(ValueError, match=r"c.xml has no image.*outside"):
        load(folder)


def test_all_problems_are_reported_together(folder: Path) -> None:
    (folder / "JPEGImages" / "a.jpg").write_text("no image")
    (folder / "Annotations" / "b.xml").unlink()
    write_list(folder, ["a", "b", "c.jpg"])
    with pytest.raises(ValueError, match=r"3 of the images of VOC/train") as error:
        load(folder)
    message = str(error.value)
    assert "a.jpg is not an image" in message
    assert "b.xml is missing" in message
    assert "without an extension" in message


def test_long_reports_are_cut(folder: Path) -> None:
    write_list(folder, [f"no{number}" for number in range(25)])
    with pytest.raises(ValueError, match="and 15 more"):
        load(folder)


def test_missing_image_folder(folder: Path) -> None:
    (folder / "JPEGImages").rename(folder / "pictures")
    with pytest.raises(FileNotFoundError, match="JPEGImages does not exist"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"b\na\n", ["b", "a"]),
        (b"\xef\xbb\xbfa\r\nb\r\n\r\n", ["a", "b"]),
        (b"\n  a  \n\n\nb", ["a", "b"]),
        (b"a -1\nb  1\nmy photo\t0\n", ["a", "b", "my photo"]),
        (b"photo 0\nphoto 1\n", ["photo 0", "photo 1"]),
    ],
)
def test_lists(folder: Path, content: bytes, expected: list[str]) -> None:
    for image_id in ("my photo", "photo 0", "photo 1"):
        add(folder, image_id)
    (folder / "ImageSets/Main/train.txt").write_bytes(content)
    assert list(load(folder)) == expected


def test_bad_lists(folder: Path) -> None:
    write_list(folder, ["", ""], "val")
    with pytest.raises(ValueError, match=r"val.txt lists no images"):
        load(folder, "val")
    write_list(folder, ["a", "b", "a"], "twice")
    with pytest.raises(ValueError, match="image a 2 times"):
        load(folder, "twice")
    (folder / "ImageSets/Main/train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"train.txt does not exist; the splits .* are: twice, val"):
        load(folder)


def test_an_ending_in_capitals(folder: Path) -> None:
    os.rename(folder / "Annotations/a.xml", folder / "Annotations/a.XML")
    assert [record.path.stem for record in read_voc(folder, ["train"]).records] == ["b", "a"]
    write_list(folder, ["b"])
    assert [finding.image for finding in unlisted_annotations(folder, ["train"], KIND).findings] == ["VOC/a"]


def test_a_listed_image_without_an_xml(folder: Path) -> None:
    (folder / "Annotations/a.xml").unlink()
    assert [
        finding.kind for finding in read_voc(folder, ["train"]).findings if finding.severity == "error"
    ] == ["missing-annotation"]
    # CVAT and Datumaro write no XML for an image without objects.
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\ncat:::\n")
    for _ in range(2):  # also from the index
        reading = read_voc(folder, ["train"])
        assert [len(record.objects) for record in reading.records] == [1, 0]
        assert "lists 1 image without an XML, taken to be without objects" in reading.notes[0]
    (folder / "labelmap.txt").unlink()
    assert len(read_voc(folder, ["train"]).records) == 1


def test_of_two_images_of_a_name_the_annotation_says_which_is_meant(folder: Path) -> None:
    add(folder, "a", image="a.png", filename="a.png")
    assert load(folder)["a"].path.name == "a.png"
    add(folder, "a", image="a.png", filename="C:\\pets\\a.png")
    assert load(folder)["a"].path.name == "a.png"
    assert not [finding for finding in read_voc(folder, ["train"]).findings if "a.jpg" in finding.sentence]
    add(folder, "a", filename="another.jpg")
    assert load(folder)["a"].path.name == "a.jpg"


@pytest.mark.parametrize("filename", ["", "a", "another.jpg"])
def test_an_annotation_that_does_not_say_which_of_two_images_it_is_of(folder: Path, filename: str) -> None:
    add(folder, "a", image="a.png", filename=filename)
    assert load(folder)["a"].path.name == "a.jpg"
    found = " ".join(finding.sentence for finding in read_voc(folder, ["train"]).findings)
    assert "which image it is of: a.jpg is used, and a.png left out" in found


def test_photos_in_heic_are_there_and_said_to_be_unreadable(folder: Path) -> None:
    os.rename(folder / "JPEGImages/a.jpg", folder / "JPEGImages/a.HEIC")
    (folder / "JPEGImages/a.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(30))
    findings = read_voc(folder, ["train"]).findings
    [finding] = [finding for finding in findings if finding.severity == "error"]
    assert finding.kind == "unreadable-image"
    assert "a.HEIC is in HEIC's format, which is not supported: convert it to JPEG" in finding.sentence


def test_what_a_macintosh_puts_beside_files_is_no_annotation(folder: Path) -> None:
    for name in ("Annotations/._a.xml", "JPEGImages/._a.jpg"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "ImageSets/Main/train.txt").unlink()
    reading = read_voc(folder, [""])
    assert [record.path.name for record in reading.records] == ["a.jpg", "b.jpg"]
    assert not reading.notes
    write_list(folder, ["a", "b"])
    assert not unlisted_annotations(folder, ["train"], KIND).findings
