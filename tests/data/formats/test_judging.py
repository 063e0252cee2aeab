"""Boxes that their reader did not judge, as those of a data format of a user's own."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detection.data.datamodule import DetectionDataModule
from detection.data.dataset import DetectionDataset
from detection.data.formats.judging import judged
from detection.data.formats.records import ImageRecord, ObjectRecord, Reading
from detection.data.formats.voc_folder import read_voc
from detection.data.shapes import write_shapes
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset
from tests.pages import block, names_of

SIDE = 128
GOOD = (20, 20, 60, 60)
Make = Callable[..., DetectionDataModule]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The documentation's data format, with two images in each split; the first of ``train`` has the box."""
    module = names_of("how-to/plugins.md", "class CSVDataModule")["CSVDataModule"]

    def make(box: tuple[float, ...], **options: Any) -> DetectionDataModule:
        for number, split in enumerate(("train", "val", "test")):
            with open(tmp_path / f"{split}.csv", "w", newline="") as file:
                table = csv.writer(file)
                table.writerow(("image", "class", "x1", "y1", "x2", "y2"))
                for place in range(2):
                    name = f"{split}{place}.png"
                    colour = (90 * number, 120 * place, 50)
                    Image.new("RGB", (SIDE, SIDE), colour).save(tmp_path / name)
                    table.writerow((name, "cat", *(box if (split, place) == ("train", 0) else GOOD)))
        data: DetectionDataModule = module(
            root=str(tmp_path), size=SIDE, train_transform=ssd_train_transform,
            eval_transform=ssd_eval_transform, num_workers=0, batch_size=1, **options,
        )  # fmt: skip
        return data

    return make


def test_one_table_of_the_documentation_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_format.py").write_text(block("how-to/plugins.md", "class CSVDataModule"))
    monkeypatch.syspath_prepend(tmp_path)
    lines = ["image,class,x1,y1,x2,y2"]
    for number in range(10):
        Image.new("RGB", (SIDE, SIDE), (20 * number, 250 - 25 * number, 50)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png," + (",,,," if number == 3 else "cat,20,20,60,60"))
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    data = names_of("how-to/plugins.md", "class OneTableDataModule")["OneTableDataModule"](
        root=str(tmp_path), size=SIDE, train_transform=ssd_train_transform,
        eval_transform=ssd_eval_transform, num_workers=0, batch_size=1,
    )  # fmt: skip
    data.setup()
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {
        "train": 8,
        "val": 2,
        "test": 2,
    }
    objects = [data.datasets[split].num_objects(difficult=True) for split in ("train", "val")]
    assert sum(objects) == 9, "one image has none"
    assert errors(data) == []


def errors(data: DetectionDataModule) -> list[tuple[str, str]]:
    found = inspect_dataset(data, "/nowhere", workers=1).findings
    return [(finding.kind, finding.sentence) for finding in found if finding.severity == "error"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("box", "kind", "sentence"),
    [
        (
            (60, 60, 20, 20),
            "empty-box",
            r"line 2 \(cat\) with box \(60, 60, 20, 20\) is an empty or inverted",
        ),
        ((200, 200, 300, 300), "box-outside", r"\(200, 200, 300, 300\) lies outside its image of 128x128"),
        (
            (20, NAN, 60, 60),
            "bad-coordinate",
            r"line 2 \(cat\) with box \(20, nan, 60, 60\) is not four finite",
        ),
        ((0, 0, INF, INF), "bad-coordinate", r"\(0, 0, inf, inf\) is not four finite numbers"),
    ],
)
def test_wrong_boxes_are_errors_of_the_check_and_of_training(
    make: Make, box: tuple[float, ...], kind: str, sentence: str
) -> None:
    ((found, said),) = errors(make(box))
    assert found == kind
    assert re.search(sentence, said)
    with pytest.raises(ValueError, match=sentence):
        make(box).setup()
    skipping = make(box, on_error="skip")
    skipping.setup()
    assert skipping.datasets["train"].image_ids == ["train1.png"]


def test_a_box_past_the_border_is_cut_with_a_warning(make: Make) -> None:
    data = make((20, 20, 400, 60))
    assert errors(data) == []
    findings = inspect_dataset(data, data.root, workers=1).findings  # type: ignore[attr-defined]
    (warning,) = [finding for finding in findings if finding.kind == "box-past-border"]
    assert "line 2 (cat) with box (20, 20, 400, 60) reaches 272 pixels past" in warning.sentence
    data.setup()
    assert data.datasets["train"].annotation(0)["boxes"].tolist() == [[20, 20, 128, 60]]
    assert any("1 x box-past-border" in note for note in data.datasets["train"].notes)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_image_that_cannot_be_read_is_a_finding(make: Make, tmp_path: Path, content: bytes | None) -> None:
    data = make(GOOD)
    (tmp_path / "train0.png").unlink()
    if content is not None:
        (tmp_path / "train0.png").write_bytes(content)
    ((_, said),) = errors(data)
    assert "train0.png" in said
    with pytest.raises(ValueError, match=r"train0\.png"):
        data.setup()


def test_a_dataset_judges_the_reading_it_is_given_and_counts_objects_without_numbers() -> None:
    boxes = [(0.0, 0, 9, 9), (9.0, 9, 0, 0)]
    objects = tuple(ObjectRecord("cat", box, difficult=False) for box in boxes)
    reading = Reading("the images", records=[ImageRecord("a", "a.png", (10, 10), objects, "a.txt")])
    with pytest.raises(ValueError, match=r"a\.txt: object 2 \(cat\) with box \(9, 9, 0, 0\)"):
        DetectionDataset(reading)
    assert (reading.findings, reading.num_judged) == ([], 0), "what was given is as it was"


def test_what_a_reader_judged_is_not_judged_again(tmp_path: Path) -> None:
    reading = read_voc(write_shapes(tmp_path, 2, 0, 0), [("Shapes", "train")])
    assert judged(reading) is reading
    again = judged(replace(reading, num_judged=0))
    assert (again.records, again.findings) == (reading.records, reading.findings)
