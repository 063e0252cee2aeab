"""The page of a check: what it shows, what it says, and that it stays small."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.formats.findings import KINDS, Finding
from detection.data.shapes import SHAPE_CLASSES
from detection.inspection.coverage import Coverage, measure_coverage
from detection.inspection.duplicates import find_near_duplicates
from detection.inspection.inspect import Inspection
from detection.inspection.page import CHECKS, MAX_CLASSES, MAX_PHOTOS, write_page
from detection.inspection.statistics import compute_statistics
from detection.inspection.unusual import find_unusual
from tests.inspection.test_fix import plant

if TYPE_CHECKING:
    from tests.inspection.conftest import VOCFolder


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time, and are those of other pages."""
    monkeypatch.setattr("detection.inspection.page.make_pictures", lambda *_: [])


def coverage_of(inspection: Inspection) -> Coverage:
    anchors = torch.tensor([[0.0, 0, 40, 40], [40, 40, 90, 90]])
    return measure_coverage(
        inspection.images, inspection.classes, lambda size: size, lambda size: anchors, (0.5,)
    )


def page_of(inspection: Inspection, path: Path) -> str:
    near = find_near_duplicates(inspection.images)
    advice = ["Write a copy: python -m detection.check fix=true output='a <b>'"]
    write_page(path, inspection, compute_statistics(inspection), coverage_of(inspection), near, "ssd", advice)
    return path.read_text()


def section(page: str, heading: str) -> str:
    return page.partition(f"<h2>{heading}</h2>")[2].partition("</section>")[0]


def test_every_kind_of_finding_has_a_sentence_for_where_there_is_none() -> None:
    assert sorted(kind for kinds in CHECKS.values() for kind in kinds) == sorted(KINDS)


@pytest.mark.usefixtures("without_figures")
def test_errors_come_first_each_with_a_picture_and_what_was_fine_is_said(
    folder: "VOCFolder", tmp_path: Path
) -> None:
    plant(folder)
    inspection = folder.inspect()
    page = page_of(inspection, tmp_path / "report.html")
    wrong = section(page, "What is wrong")
    kinds = re.findall(r'<h3 id="([\w-]+)">', wrong)
    assert kinds == list(dict.fromkeys(item.kind for item in inspection.findings)), "in their order"
    empty_box = wrong.partition('id="empty-box"')[2].partition("<h3")[0]
    assert "train_00000.jpg with" in empty_box
    assert "xmin=20" in empty_box
    truncated = wrong.partition('id="unreadable-image"')[2].partition("<h3")[0]
    assert "no picture of train_00010.jpg" in truncated
    assert "data:image" not in truncated
    fine = section(page, "What was fine")
    assert "No box has a side below min_side." in fine
    assert "No image is trained on and evaluated on." not in fine
    assert "output=&#39;a &lt;b&gt;&#39;" in page


def test_the_box_of_every_object_in_question_is_at_hand(folder: "VOCFolder") -> None:
    plant(folder)
    folder.add_object("train_00003", "unicorn", (21, 6, 50, 40))
    inspection = folder.inspect(classes=SHAPE_CLASSES)
    numbers = {
        image.record.image_id: {item.number for item in image.record.objects} for image in inspection.images
    }
    for finding in inspection.findings:
        if finding.object is not None and finding.kind not in ("bad-coordinate", "missing-tag"):
            assert finding.box or finding.object in numbers[finding.image], finding
    unknown = [finding.box for finding in inspection.findings if "unicorn" in finding.message]
    assert unknown == [(20, 5, 50, 40)]


def test_a_clean_set_is_said_to_be_so(folder: "VOCFolder", tmp_path: Path) -> None:
    page = page_of(folder.inspect(), tmp_path / "report.html")
    assert "Nothing is wrong with this dataset." in page
    fine = section(page, "What was fine")
    assert all(sentence in fine for sentence in CHECKS)
    assert "No near-duplicates across splits." in section(page, "Near-duplicates")
    assert "All images are alike by: the most elongated image" in section(page, "The most unusual images")


@pytest.mark.usefixtures("without_figures")
def test_names_are_no_markup_and_nothing_is_fetched(folder: "VOCFolder", tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    old, new = (root.root for root in (folder, type(folder)(tmp_path / "<img src=x>")))
    folder.add_object("train_00000", name.replace("<", "&lt;"), (20, 5, 50, 40))
    for path in (folder.image("train_00001"), folder.xml("train_00001")):
        path.rename(path.with_stem("<b>bold"))
    folder.add_object("<b>bold", "circle", (20, 5, 5, 20))
    ids = folder.list_file("train").read_text().replace("train_00001", "<b>bold")
    folder.list_file("train").write_text(ids)
    old.rename(new)
    page = page_of(type(folder)(new).inspect(), tmp_path / "report.html")
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold.jpg" in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in section(page, "Classes")
    assert "<img src=x>" not in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|srcset|href)="([^"]*)"', page))


@pytest.mark.usefixtures("without_figures")
def test_thousands_of_findings_and_hundreds_of_classes_make_a_small_page(
    folder: "VOCFolder", tmp_path: Path
) -> None:
    inspection = folder.inspect()
    every = [
        Finding(kind, f"Annotations/{image.record.path.stem}.xml", "is wrong", image.record.image_id)
        for kind in list(KINDS)[:3]
        for image in inspection.images[:20]
    ]
    many = [Finding("no-objects", f"a/{i}.xml", "has no objects", f"{i}") for i in range(20_000)]
    classes = (*inspection.classes, *(f"class {i}" for i in range(600)))
    large = inspection._replace(classes=classes, findings=[*every, *many], images=[*inspection.images * 100])
    page = page_of(large, tmp_path / "report.html")
    wrong = section(page, "What is wrong")
    first = wrong.partition("<h3")[2].partition("<h3")[0]
    assert first.count("<figure>") == MAX_PHOTOS
    assert f"and {20 - MAX_PHOTOS} more" in first
    assert section(page, "Classes").count("<tr") == MAX_CLASSES + 2
    assert len(page) < 3e6
    assert "and 19997 more" in wrong


def test_near_duplicates_are_found_within_and_across_splits(folder: "VOCFolder") -> None:
    pixels = np.asarray(Image.open(folder.image("train_00003")))
    smaller = cv2.resize(pixels, (70, 70), interpolation=cv2.INTER_AREA)
    folder.remove("val_00005", "size")
    Image.fromarray(smaller).save(folder.image("val_00005"), quality=60)
    brighter = np.clip(pixels * 0.8 + 20, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(folder.image("train_00007"), quality=40)
    near = find_near_duplicates(folder.inspect().images)

    def names(pairs: list) -> list[set[str]]:  # type: ignore[type-arg]
        return [{pair.first.record.path.stem, pair.second.record.path.stem} for pair in pairs]

    assert names(near.within) == [{"train_00003", "train_00007"}]
    assert names(near.across)[0] <= {"train_00003", "train_00007", "val_00005"}
    assert len(near.across) == 1
    assert near.across[0].first.split == "train"


def test_what_is_unusual_is_found_by_its_rule(folder: "VOCFolder") -> None:
    folder.add_object("train_00002", "circle", (1, 1, 96, 96))
    folder.add_object("train_00003", "circle", (5, 5, 9, 95))
    for number in range(9):
        folder.add_object("train_00004", "circle", (5, 5, 40 + number, 60))
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(folder.image("train_00005"))
    Image.fromarray(np.full((96, 96, 3), 255, np.uint8)).save(folder.image("val_00006"))
    folder.remove("train_00008", "size")
    Image.fromarray(np.full((96, 400, 3), 99, np.uint8)).save(folder.image("train_00008"))
    unusual, alike = find_unusual(folder.inspect().images)
    first = {item.rule.partition(",")[0]: item.examples[0].image.record.path.stem for item in unusual}
    assert alike == []
    expected = {
        "the most objects": "train_00004",
        "the largest object": "train_00002",
        "the most elongated object": "train_00003",
        "the most elongated image": "train_00008",
        "the largest image": "train_00008",
        "the darkest image": "train_00005",
        "the brightest image": "val_00006",
    }
    assert expected.items() <= first.items()


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_set_of_which_nothing_can_be_used_has_a_page(
    folder: "VOCFolder", tmp_path: Path, content: bytes
) -> None:
    for path in (folder.root / "JPEGImages").iterdir():
        path.write_bytes(content)
    page = page_of(folder.inspect(), tmp_path / "report.html")
    assert f"and {74 - MAX_PHOTOS} more" in page
    assert "No object can be used." in page
    assert "No image differs from the others by any rule." in page
