"""``python -m detection.convert`` as its user runs it, and every pair of formats there and back."""

import json
import os
import re
import shutil
import subprocess
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import yaml
from defusedxml.ElementTree import parse
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from detection.data.conversion import convert
from detection.data.conversion_source import Format
from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.formats.records import AnnotationError
from detection.data.formats.voc import from_voc_corners, whole_voc_corners
from detection.data.formats.voc_folder import read_voc
from detection.data.formats.yolo import read_yolo
from detection.data.shapes import SHAPE_CLASSES, write_shapes
from detection.data.voc import VOCDetection
from detection.data.writers.coco_writer import COCOWriter
from detection.data.writers.voc_writer import write_voc
from detection.data.writers.yolo_writer import write_yolo_labels
from detection.system.wording import are, counted
from tests.data.annotated import coco_dataset, yolo_dataset
from tests.data.test_own_sets import module_of
from tests.data.unsplit import UNSPLIT
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
FORMATS: tuple[Literal["voc", "coco", "yolo"], ...] = ("voc", "coco", "yolo")
COUNTS = {"train": 12, "val": 5}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*warm_python(), "-m", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def opened(root: Path, name: str, split: str) -> DetectionDataset:
    if name == "voc":
        return VOCDetection(root, [split], SHAPE_CLASSES)
    if name == "coco":
        return coco_dataset(root / f"{split}2017", root / f"annotations/instances_{split}2017.json")
    return yolo_dataset(root, split)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VOC-style folder of generated images, some of their objects difficult."""
    devkit = write_shapes(tmp_path_factory.mktemp("shapes"), COUNTS["train"], COUNTS["val"], 0, size=96)
    return devkit / "Shapes"


@pytest.fixture(scope="module")
def originals(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same images in each format."""
    folder = tmp_path_factory.mktemp("originals")
    for name in ("coco", "yolo"):
        convert("voc", name, str(shapes), str(folder / name), classes=SHAPE_CLASSES)
    return {"voc": shapes, "coco": folder / "coco", "yolo": folder / "yolo"}


def assert_same(first: DetectionDataset, second: DetectionDataset, difficult: bool) -> None:
    assert first.classes == second.classes
    assert len(first) == len(second)
    for index in range(len(first)):
        (image, target), (other_image, other) = first[index], second[index]
        assert torch.equal(image, other_image)
        torch.testing.assert_close(target["boxes"], other["boxes"], atol=1e-3, rtol=0)
        assert torch.equal(target["labels"], other["labels"])
        assert not difficult or torch.equal(target["difficult"], other["difficult"])


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("to", FORMATS)
def test_there_and_back(
    originals: dict[str, Path], source: Any, to: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = convert(
        source, to, str(originals[source]), str(tmp_path / "there"), classes=SHAPE_CLASSES, link=source == to
    )
    convert(to, source, str(tmp_path / "there"), str(tmp_path / "back"), classes=SHAPE_CLASSES)
    assert there[0] == f"{tmp_path}/there: train 12 images, val 5 images; 8 classes"
    assert not any("moved" in note for note in there), "corners of VOC survive every format"
    assert "Writing" in capsys.readouterr().out
    for split, count in COUNTS.items():
        expected = opened(originals[source], source, split)
        assert len(expected) == count
        assert_same(opened(tmp_path / "there", to, split), expected, difficult="yolo" not in (source, to))
        assert_same(opened(tmp_path / "back", source, split), expected, difficult="yolo" not in (source, to))


def test_what_is_lost_is_said(originals: dict[str, Path], tmp_path: Path) -> None:
    sets = [opened(originals["voc"], "voc", split) for split in COUNTS]
    count = sum(int(data.annotation(i)["difficult"].sum()) for data in sets for i in range(len(data)))
    assert count > 0
    notes = {
        (source, to): " ".join(convert(source, to, str(originals[source]), str(tmp_path / f"{source}{to}")))
        for source in FORMATS
        for to in FORMATS
    }
    ordinary = (
        f"{counted(count, 'difficult or crowd object')} {are(count)} ordinary now: YOLO cannot mark them"
    )
    assert ordinary in notes["voc", "yolo"]
    assert ordinary in notes["coco", "yolo"]
    assert (
        f"now crowd regions (iscrowd), no longer trained on: {count} difficult object" in notes["voc", "coco"]
    )
    assert f"trained on: {count} crowd region" in notes["coco", "voc"]
    assert "difficult" not in notes["yolo", "coco"]


def test_written_coco_is_read_by_pycocotools(originals: dict[str, Path], shapes: Path) -> None:
    coco = COCO(str(originals["coco"] / "annotations/instances_train2017.json"))
    dataset = VOCDetection(shapes, ["train"], SHAPE_CLASSES)
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(dataset.classes)
    for index, image in enumerate(coco.loadImgs(coco.getImgIds())):
        expected = dataset.annotation(index)
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        xywh = expected["boxes"].clone()
        xywh[:, 2:] -= xywh[:, :2]
        assert [item["bbox"] for item in found] == xywh.tolist()
        assert [item["category_id"] - 1 for item in found] == expected["labels"].tolist()
        assert [item["iscrowd"] for item in found] == expected["difficult"].int().tolist()


def test_areas_of_segments_stay_those_of_coco(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    writer = COCOWriter(["cat"])
    boxes = [(0, 0, 100, 80), (10, 10, 20, 30)]
    writer.add("a.png", (80, 100), boxes, [0, 0], areas=[1234.5, None])
    writer.write(tmp_path / "all.json")
    convert(
        "coco", "coco", str(tmp_path), str(tmp_path / "new"), ["all"],
        coco_images=".", coco_annotations="{split}.json",
    )  # fmt: skip
    written = json.loads((tmp_path / "new/annotations/instances_all2017.json").read_text())["annotations"]
    assert [annotation["area"] for annotation in written] == [1234.5, 200]


def test_fractions_are_rounded_in_voc_and_said(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    writer = COCOWriter(["cat"])
    writer.add("a.png", (30, 40), [(0, 0, 40, 30), (5.4, 6, 9, 10), (1, 2, 3, 4)], [0, 0, 0])
    writer.write(tmp_path / "all.json")
    notes = convert(
        "coco", "voc", str(tmp_path), str(tmp_path / "voc"), ["all"],
        coco_images=".", coco_annotations="{split}.json",
    )  # fmt: skip
    assert notes[1] == "1 of 3 boxes moved by up to 0.40 pixels: VOC's corners are whole pixels"
    boxes = VOCDetection(tmp_path / "voc", ["all"], classes=None)[0].target["boxes"]
    assert boxes.tolist() == [[0, 0, 40, 30], [5, 6, 9, 10], [1, 2, 3, 4]]


def random_corners(rng: np.random.Generator, height: int, width: int) -> list[tuple[int, ...]]:
    """Of VOC; among them those of the whole image, and of one pixel in each of two corners."""
    xs, ys = (np.sort(rng.integers(1, side + 1, (40, 2)), axis=1) for side in (width, height))
    inner = np.stack([xs[:, 0], ys[:, 0], xs[:, 1], ys[:, 1]], axis=1).tolist()
    return [(1, 1, width, height), (1, 1, 1, 1), (width, height, width, height), *map(tuple, inner)]


def corners_in(folder: Path) -> dict[str, list[tuple[int, ...]]]:
    """What the annotation files say, to the letter."""
    return {
        path.stem: [
            tuple(int(item.findtext(f"bndbox/{tag}", "")) for tag in ("xmin", "ymin", "xmax", "ymax"))
            for item in parse(path).iter("object")
        ]
        for path in (folder / "Annotations").glob("*.xml")
    }


@pytest.mark.parametrize("way", ["coco yolo", "yolo coco", "coco", "yolo", "voc"])
def test_corners_of_voc_come_back_as_they_were(way: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / "start" / part).mkdir(parents=True)
    expected = {}
    for number in range(12):
        height, width = (int(side) for side in rng.integers(1 + number, 500, 2))
        expected[f"i{number}"] = corners = random_corners(rng, height, width)
        Image.new("L", (width, height)).save(tmp_path / f"start/JPEGImages/i{number}.png")
        boxes = [(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in corners]
        path = tmp_path / f"start/Annotations/i{number}.xml"
        write_voc(path, f"i{number}.png", (height, width), boxes, [0] * len(boxes), ["cat"])
    (tmp_path / "start/ImageSets/Main/train.txt").write_text("\n".join(expected))
    assert corners_in(tmp_path / "start") == expected
    steps: list[Any] = ["voc", *way.split(), "voc"]
    folder = tmp_path / "start"
    for source, to in pairwise(steps):
        target = tmp_path / f"{folder.name}-{to}"
        notes = convert(source, to, str(folder), str(target), ["train"])
        assert not any("moved" in note for note in notes)
        folder = target
    assert corners_in(folder) == expected


def test_cocos_boxes_become_the_first_and_the_last_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    writer = COCOWriter(["cat"])
    writer.add("a.png", (80, 100), [(0, 0, 100, 80), (10, 10, 20, 30), (99, 0, 100, 1)], [0, 0, 0])
    writer.write(tmp_path / "all.json")
    assert [item["bbox"] for item in writer.annotations] == [[0, 0, 100, 80], [10, 10, 10, 20], [99, 0, 1, 1]]
    convert(
        "coco", "voc", str(tmp_path), str(tmp_path / "voc"), ["all"],
        coco_images=".", coco_annotations="{split}.json",
    )  # fmt: skip
    assert corners_in(tmp_path / "voc") == {"a": [(1, 1, 100, 80), (11, 11, 20, 30), (100, 1, 100, 1)]}


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ((0, 0, 39, 29), (1, 1, 39, 29)),
        ((0, 0, 40, 30), (1, 1, 40, 30)),
        ((10.4, 5.6, 20.4, 9.6), (11, 7, 20, 10)),
        ((10.1, 5, 10.3, 9), (11, 6, 11, 9)),
        ((39.2, 29.7, 40, 30), (40, 30, 40, 30)),
    ],
)
def test_voc_corners_stay_in_the_image_and_are_never_empty(
    box: tuple[float, ...], corners: tuple[int, int, int, int]
) -> None:
    assert whole_voc_corners(box, (30, 40)) == corners
    x1, y1, x2, y2 = from_voc_corners(corners)
    assert x2 > x1
    assert y2 > y1


@pytest.mark.parametrize("names", [["square", "moon"], ["square", "moon", "star, small"]])
def test_classes_that_voc_does_not_keep_are_said(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "set/images/train").mkdir(parents=True)
    (tmp_path / "set/labels/train").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "set/images/train/a.png")
    (tmp_path / "set/labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "set/data.yaml").write_text(yaml.safe_dump({"train": "images/train", "names": names}))
    notes = convert("yolo", "voc", str(tmp_path / "set"), str(tmp_path / "voc"))
    lost = "moon" if len(names) == 2 else "moon, 'star, small'"
    assert any(f"which lists no classes: {lost}, without an object" in note for note in notes)
    notes = convert("yolo", "coco", str(tmp_path / "set"), str(tmp_path / "coco"))
    assert not any("lists no classes" in note for note in notes)


def test_scores_of_detections_are_written(tmp_path: Path) -> None:
    boxes, labels, scores = [(1.0, 2.0, 11.0, 22.0)], [1], [0.75]
    write_voc(tmp_path / "a.xml", "a.jpg", (30, 40), boxes, labels, ["cat", "dog & <co>"], scores)
    text = (tmp_path / "a.xml").read_text()
    assert "<score>0.750000</score>" in text
    assert "dog &amp; &lt;co&gt;" in text
    writer = COCOWriter(["cat", "dog"])
    writer.add("a.jpg", (30, 40), boxes, labels, scores)
    writer.write(tmp_path / "a.json")
    (found,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert (found["bbox"], found["category_id"], found["score"]) == ([1, 2, 10, 20], 2, 0.75)
    write_yolo_labels(tmp_path / "a.txt", (30, 40), boxes, labels, scores)
    assert np.fromstring((tmp_path / "a.txt").read_text(), sep=" ").tolist() == pytest.approx(
        [1, 0.15, 0.4, 0.25, 2 / 3, 0.75]
    )


def test_images_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / f"set/images/{folder}").mkdir(parents=True)
        Image.new("RGB", (40, 30), "red" if folder == "one" else "blue").save(
            tmp_path / f"set/images/{folder}/a.png"
        )
        (tmp_path / f"set/labels/{folder}").mkdir(parents=True)
        (tmp_path / f"set/labels/{folder}/a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "set/data.yaml").write_text(yaml.safe_dump({"train": "images", "names": ["cat"]}))
    convert("yolo", "voc", str(tmp_path / "set"), str(tmp_path / "voc"), ["train"])
    dataset = VOCDetection(tmp_path / "voc", ["train"], classes=None)
    assert dataset.image_ids == ["voc/images_one_a_png", "voc/images_two_a_png"]
    assert not torch.equal(dataset[0].image, dataset[1].image)


def test_voc_splits_of_one_name_are_joined(shapes: Path, tmp_path: Path) -> None:
    splits: Any = [("Shapes", "train"), ("Shapes", "val")]
    notes = convert("voc", "coco", str(shapes.parent), str(tmp_path / "a"), splits)
    assert "train 12 images, val 5 images" in notes[0]
    with pytest.raises(ValueError, match=r"Shapes/train_00000 is in 2 of the splits that make up train"):
        convert("voc", "coco", str(shapes.parent), str(tmp_path / "b"), [("Shapes", "train")] * 2)
    with pytest.raises(ValueError, match=r"\['Shapes', 'train'\] is for VOC; a split of coco is a name"):
        convert("coco", "voc", str(shapes.parent), str(tmp_path / "b"), splits)


def test_some_classes(originals: dict[str, Path], tmp_path: Path) -> None:
    notes = convert(
        "yolo", "coco", str(originals["yolo"]), str(tmp_path / "a"), classes=["ring", "arrow"],
        other_classes="skip",
    )  # fmt: skip
    assert notes[0].endswith("2 classes")
    assert "of other classes left out: " in notes[1]
    dataset = opened(tmp_path / "a", "coco", "train")
    assert dataset.classes == ("ring", "arrow")
    assert len(dataset) == 12
    with pytest.raises(ValueError, match=r"'rings', did you mean 'ring'"):
        convert(
            "yolo", "coco", str(originals["yolo"]), str(tmp_path / "b"), classes=["rings", "arrow"],
            other_classes="skip",
        )  # fmt: skip


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_boxes_of_turned_photographs_turn_where_formats_differ(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    stored: np.ndarray[Any, np.dtype[np.uint8]] = np.zeros((30, 40, 3), np.uint8)
    stored[4:16, 8:12] = 255
    Image.fromarray(stored).save(tmp_path / "images/a.png", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "images/a.png")))[..., 0]
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    box = [float(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]
    (tmp_path / "labels").mkdir()
    write_yolo_labels(tmp_path / "labels/a.txt", (shown.shape[0], shown.shape[1]), [box], [0])
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": ["cat"]}))

    notes = convert("yolo", "voc", str(tmp_path), str(tmp_path / "voc"), ["train"])
    assert "stored turned (EXIF): 1 image, with boxes that are now of the pixels as stored" in notes[1]
    (record,) = read_voc(tmp_path / "voc", ["train"]).records
    assert record.size == (30, 40)
    assert record.upright is False
    assert list(record.objects[0].box) == [8, 4, 12, 16]
    notes = convert("voc", "coco", str(tmp_path / "voc"), str(tmp_path / "coco"), ["train"])
    assert "with boxes that are now of the image as shown" in notes[1]
    (record,) = read_coco(
        tmp_path / "coco/train2017", tmp_path / "coco/annotations/instances_train2017.json"
    ).records
    assert list(record.objects[0].box) == box
    convert("coco", "yolo", str(tmp_path / "coco"), str(tmp_path / "yolo"), ["train"])
    (record,) = read_yolo(tmp_path / "yolo", "train").records
    assert record.objects[0].box == pytest.approx(box, abs=1e-4)
    assert (record.size, record.upright) == (shown.shape, True)


def test_a_broken_set_is_refused_with_the_way_to_mend_it(shapes: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(shapes, tmp_path / "broken"))
    annotation = next(root.rglob("Annotations/*.xml"))
    annotation.write_text(annotation.read_text().replace("<xmin>", "<xmin>x"))
    remedy = r"detection\.check with fix=true output=\.\.\. writes a copy"
    with pytest.raises(ValueError, match=remedy) as error:
        convert("voc", "coco", str(annotation.parent.parent), str(tmp_path / "out"))
    assert "on_error" not in str(error.value), "which is no key of this command"


def test_an_interrupted_conversion_leaves_nothing(
    originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("detection.data.writers.sets.write_data_yaml", full)
    with pytest.raises(OSError, match="no space left"):
        convert("coco", "yolo", str(originals["coco"]), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(originals: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    convert("coco", "yolo", str(originals["coco"]), str(tmp_path / "empty"))
    assert len(opened(tmp_path / "empty", "yolo", "train")) == COUNTS["train"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    for name in ("empty", "mine", "mine/thesis.txt"):
        with pytest.raises(FileExistsError, match=rf"{name} exists and is not empty: move it away"):
            convert("coco", "yolo", str(originals["coco"]), str(tmp_path / name))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_set_is_divided_as_a_training_would(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path / "set")
    data = module_of("auto", tmp_path / "set", seed=233, test_fraction=0.3)
    data.setup()
    said = convert("auto", "voc", str(tmp_path / "set"), str(tmp_path / "voc"), split=[0.5, 0.2, 0.3])
    assert said == [f"{tmp_path}/voc: train 5 images, val 2 images, test 3 images; 2 classes"]
    for split, dataset in data.datasets.items():
        listed = (tmp_path / f"voc/ImageSets/Main/{split}.txt").read_text().split()
        assert listed == [Path(path).stem for path in dataset.paths]
    whole = convert("voc", "coco", str(tmp_path / "set"), str(tmp_path / "coco"))
    assert whole == [f"{tmp_path}/coco: train 10 images; 2 classes"]
    joined = convert(
        "auto", "yolo", str(tmp_path / "voc"), str(tmp_path / "yolo"), ["train", "test"], split=[0.5, 0.5]
    )
    assert joined == [f"{tmp_path}/yolo: train 4 images, val 4 images; 2 classes"]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ([0.8, 0.1], r"split=\[0\.8,0\.1\]: give the shares of train, val and test, each above 0"),
        ([0.8, 0.0, 0.2], "give the shares of train, val and test"),
        ([0.8, 0.2], r"has images of its own for val.* Leave split out .*: splits=\[train,val\]"),
    ],
)
def test_a_set_that_has_splits_is_not_divided_unasked(
    originals: dict[str, Path], split: list[float], message: str, tmp_path: Path
) -> None:
    for name in FORMATS[1:]:
        with pytest.raises(ValueError, match=message):
            convert(name, "voc", str(originals[name]), str(tmp_path / "out"), split=split)


def test_the_command(originals: dict[str, Path], tmp_path: Path) -> None:
    arguments = (
        "detection.convert",
        "from=coco",
        "to=yolo",
        f"root={originals['coco']}",
        f"out={tmp_path}/out",
    )
    result = run(*arguments, "link=true")
    assert result.returncode == 0, result.stderr
    assert f"{tmp_path}/out: train 12 images, val 5 images; 8 classes" in result.stdout
    assert f"python train.py experiment=finetune data.root={tmp_path}/out" in result.stdout
    image = tmp_path / "out/images/train/train_00000.jpg"
    assert image.resolve() == (originals["coco"] / "train2017/train_00000.jpg").resolve()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["from=voc", "to=coco"], "root: needs a value"),
        (["from=vok", "to=coco", "root=a", "out=b"], "from=vok: give one of voc, coco, yolo"),
        (["from=voc", "to=coco", "rooot=a", "out=b"], "rooot: no such key; did you mean root?"),
    ],
)  # fmt: skip
def test_mistakes_end_in_a_sentence(arguments: list[str], expected: str) -> None:
    result = run("detection.convert", *arguments)
    assert result.returncode != 0
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["coco", pytest.param("yolo", marks=pytest.mark.slow)])
def test_train_on_the_converted_set(originals: dict[str, Path], name: str, tmp_path: Path) -> None:
    result = run(
        "train", f"data={name}", f"data.root={originals[name]}", f"hydra.run.dir={tmp_path}/run",
        "trainer=cpu", "trainer.max_epochs=1", "model/backbone=tiny", "data.size=128", "data.batch_size=4",
        "data.num_workers=0", "data.classes=[ring,arrow,circle]", "data.other_classes=skip",
        "~callbacks.predictions",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert "of other classes left out" in result.stdout + result.stderr
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert {"test/map", "test/ap/ring", "test/ap/arrow", "test/ap/circle"} <= set(figures)
    assert "test/ap/square" not in figures


def test_images_of_another_size_than_their_annotations_are_not_converted(
    originals: dict[str, Path], tmp_path: Path
) -> None:
    """Sides exchanged, as tools write them that do not turn photographs, gave labels that look right."""
    shutil.copytree(originals["coco"], tmp_path / "coco")
    file = tmp_path / "coco/annotations/instances_train2017.json"
    document = json.loads(file.read_text())
    for entry in document["images"][:2]:
        entry["height"], entry["width"] = 96, 128
    file.write_text(json.dumps(document))
    told = r"(?s)2 of the images of .* cannot be used:.* has 96x96 pixels, but .* 128x96"
    for to in FORMATS:
        with pytest.raises(AnnotationError, match=told):
            convert("coco", to, str(tmp_path / "coco"), str(tmp_path / f"as {to}"))
        assert not (tmp_path / f"as {to}").exists()


def test_boxes_that_are_cut_are_said(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "voc")
    file = next((tmp_path / "voc/Annotations").glob("train*"))
    file.write_text(re.sub("<xmax>[0-9]+", "<xmax>130", file.read_text(), count=1))
    _, line, *_ = convert("voc", "coco", str(tmp_path / "voc"), str(tmp_path / "coco"))
    assert line.startswith("train: warnings: 1 x box-past-border. The first: ")
    assert "reaches 34 pixels past its image of 96x96: it is cut there" in line


@pytest.mark.parametrize("source", FORMATS)
def test_a_list_for_validation_alone_stays_one(
    source: Literal["voc", "coco", "yolo"], originals: dict[str, Path], tmp_path: Path
) -> None:
    """A training divides such a set, and says so; a conversion keeps the name."""
    first, *_ = convert(source, source, str(originals[source]), str(tmp_path / "val"), splits=["val"])
    assert ": val 5 images;" in first
    for to in FORMATS:
        first, *_ = convert("auto", to, str(tmp_path / "val"), str(tmp_path / to))
        assert ": val 5 images;" in first
    data = module_of("auto", tmp_path / "val")
    data.setup()
    assert "is the only split: of its 5, 1 for val is set apart" in data.split_lines[0]


def test_cocos_splits_in_capitals_are_found(originals: dict[str, Path], tmp_path: Path) -> None:
    """As CVAT names them, beside its files of keypoints and captions."""
    shutil.copytree(originals["coco"], tmp_path / "coco")
    folder = tmp_path / "coco/annotations"
    for split, name in (("train", "Train"), ("val", "Validation")):
        (folder / f"instances_{split}2017.json").rename(folder / f"instances_{name}.json")
        (tmp_path / f"coco/{split}2017").rename(tmp_path / f"coco/{name}")
        (folder / f"person_keypoints_{name}.json").write_text("{}")
    first, *_ = convert("auto", "yolo", str(tmp_path / "coco"), str(tmp_path / "yolo"))
    assert ": train 12 images, val 5 images;" in first
    (folder / "instances_Validation.json").unlink()
    (folder / "instances_Train.json").rename(folder / "instances_default.json")
    first, *_ = convert("auto", "yolo", str(tmp_path / "coco"), str(tmp_path / "alone"))
    assert ": train 12 images;" in first


def test_advice_is_in_the_words_of_the_command(originals: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(originals["coco"], tmp_path / "outer/inner")
    words = ("from=auto", "to=coco", f"root={tmp_path}/outer", f"out={tmp_path}/out")
    told = run("detection.convert", *words).stderr
    assert f"A folder in it is a set: type root={tmp_path}/outer/inner" in told
    (tmp_path / "outer/inner/annotations/instances_train2017.json").write_bytes(b'{"images": \xff')
    told = run("detection.convert", *words[:2], f"root={tmp_path}/outer/inner", words[3]).stderr
    assert "is not well-formed JSON" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", FORMATS)
def test_images_in_train_and_val_are_said(shapes: Path, name: Format, tmp_path: Path) -> None:
    both = shutil.copytree(shapes, tmp_path / "Shapes")
    lists = both / "ImageSets/Main"
    first, second, *_ = (lists / "train.txt").read_text().split()
    with (lists / "val.txt").open("a") as val:
        val.write(f"{first}\n{second}\n")
    convert_anew = partial(convert, "voc", name)
    *_, last = convert_anew(str(both), str(tmp_path / "out"))
    assert last.startswith("Warning: 2 of the 7 images of val are in train, too: its metrics say how well")
    assert not any("Warning" in line for line in convert_anew(str(shapes), str(tmp_path / "b")))
