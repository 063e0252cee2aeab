"""The layouts that tools export, written as they write them, through the data modules and the check."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

from detection.data.conversion import convert
from detection.data.datamodule import DetectionDataModule
from detection.data.formats.coco_document import box_around
from detection.data.formats.layouts import find_voc, recognise
from detection.data.formats.records import AnnotationError
from detection.data.sources import AutoDataModule, COCODataModule, VOCDataModule, YOLODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset
from tests.data.small_set import SIZE, annotation
from tests.data.training import train_tiny
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[3]

BOX = (5, 5, 30, 40)  # VOC's corners of every object
SETTINGS: dict[str, Any] = {
    "size": SIZE,
    "train_transform": ssd_train_transform,
    "eval_transform": ssd_eval_transform,
    "num_workers": 0,
    "batch_size": 1,
}
NUMBERS = {"train": (0, 1), "valid": (2, 3)}


def image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(path, "JPEG")


def xml(path: Path, number: int, filename: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        annotation(BOX, "dog" if number % 2 else "cat", f"<filename>{filename}</filename>", VOC_SIZE)
    )


VOC_SIZE = f"<size><width>{SIZE}</width><height>{SIZE}</height></size>"
XYWH = [4, 4, 26, 36]
LINE = f"{17 / SIZE} {22 / SIZE} {26 / SIZE} {36 / SIZE}"


def document(names: list[str], **changes: Any) -> str:
    """A COCO file for images of one object each; ``changes`` are made to its images."""
    images = [
        {"id": i, "file_name": name, "width": SIZE, "height": SIZE, **changes} for i, name in enumerate(names)
    ]
    objects = [
        {"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": XYWH, "iscrowd": 0}
        for i in range(len(names))
    ]
    categories = [
        {"id": 1, "name": "cat", "supercategory": "pet"},
        {"id": 2, "name": "dog", "supercategory": "pet"},
    ]
    return json.dumps({"images": images, "annotations": objects, "categories": categories})


def voc_beside(root: Path) -> None:
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(root / split / f"{number}_jpg.rf.0a1b.jpg", number)
            xml(root / split / f"{number}_jpg.rf.0a1b.xml", number, f"{number}_jpg.rf.0a1b.jpg")


def voc_subfolders(root: Path) -> None:
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(root / f"JPEGImages/day/{number}.JPG", number)
            xml(root / f"Annotations/day/{number}.xml", number, f"day/{number}.JPG")
        (root / "ImageSets").mkdir(exist_ok=True)
        (root / f"ImageSets/{split}.txt").write_text("\n".join(f"day/{number}" for number in numbers))


def voc_folders_of_annotations(root: Path) -> None:
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(root / f"JPEGImages/{number}.jpg", number)
            xml(root / f"Annotations/{split}/{number}.xml", number, f"{number}.jpg")


def voc_images_folder(root: Path) -> None:
    folder = root / "VOCdevkit/VOC2007"
    (folder / "ImageSets/Main").mkdir(parents=True)
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(folder / f"images/{number}.Jpg", number)
            xml(folder / f"Annotations/{number}.xml", number)
        name = split.removesuffix("id")
        (folder / f"ImageSets/Main/{name}.txt").write_text("\n".join(map(str, numbers)))


def coco_roboflow(root: Path) -> None:
    for split, numbers in NUMBERS.items():
        names = [f"{number}.jpg" for number in numbers]
        for number in numbers:
            image(root / split / f"{number}.jpg", number)
        whole = json.loads(document(names))
        whole["categories"].insert(0, {"id": 0, "name": "pet", "supercategory": "none"})
        (root / split / "_annotations.coco.json").write_text(json.dumps(whole))


def coco_of_another_place(root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    for split, numbers in NUMBERS.items():
        name = split.removesuffix("id")
        for number in numbers:
            image(root / f"images/{name}/{number}.JPG", number)
        names = [f"..\\label-studio\\upload\\4\\0a1b2c3d-{number}.jpg" for number in numbers]
        path = root / f"annotations/instances_{name}.json"
        path.write_text(document(names, width=float(SIZE)))


def yolo_valid(root: Path) -> None:
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(root / f"{split}/images/{number}.jpg", number)
            path = root / f"{split}/labels/{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{number % 2} {LINE}\n")
        (root / split / "labels/README.txt").write_text("What is here")
        (root / split / "images/._0.jpg").write_bytes(b"of a Macintosh")
    names = '{"0": cat, "1": dog}'
    (root / "my.yaml").write_text(f"train: train/images\nvalid: valid/images\nnames: {names}\n")


def yolo_pose(root: Path) -> None:
    yolo_valid(root)
    text = (root / "my.yaml").read_text()
    (root / "my.yaml").write_text(text.replace("valid:", "validation:") + "kpt_shape: [2, 3]\n")
    for path in root.glob("*/labels/?.txt"):
        path.write_text(path.read_text().strip() + " 0.1 0.1 2 0.9 0.9 1\n")


def yolo_darknet(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for split, numbers in NUMBERS.items():
        for number in numbers:
            image(root / f"obj_{split}_data/{number}.jpg", number)
            (root / f"obj_{split}_data/{number}.txt").write_text(f"{number % 2} {LINE}\n")
        lines = [f"data\\obj_{split}_data\\{number}.jpg\n" for number in numbers]
        (root / f"{split}.txt").write_text("".join(lines))
    (root / "obj.names").write_text("cat\ndog\n")
    (root / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n")


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "voc beside": (voc_beside, "voc", "VOC annotations beside their images in train and valid"),
    "voc subfolders": (voc_subfolders, "voc", "VOC annotations in"),
    "voc annotations": (voc_folders_of_annotations, "voc", "VOC annotations in train and valid"),
    "voc images": (voc_images_folder, "voc", "VOC annotations in"),
    "coco roboflow": (coco_roboflow, "coco", "COCO annotations in train/_annotations.coco.json and valid"),
    "coco elsewhere": (coco_of_another_place, "coco", "COCO annotations in annotations/instances_train.json"),
    "yolo valid": (yolo_valid, "yolo", "YOLO labels, described by my.yaml"),
    "yolo pose": (yolo_pose, "yolo", "YOLO labels, described by my.yaml"),
    "yolo darknet": (yolo_darknet, "yolo", "YOLO labels, described by obj.data"),
}


def module_of(kind: str, root: Path) -> DetectionDataModule:
    if kind == "voc":
        return VOCDataModule(
            root=str(root), train_splits=["train"], val_splits=["val"], classes=None, **SETTINGS
        )
    if kind == "coco":
        return COCODataModule(root=str(root), **SETTINGS)
    return YOLODataModule(root=str(root), **SETTINGS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognised_trained_on_and_checked(name: str, tmp_path: Path) -> None:
    write, kind, words = LAYOUTS[name]
    write(tmp_path)
    layout = recognise(tmp_path)
    assert layout is not None
    assert layout.format == kind
    assert layout.words.startswith(words)
    for data in (AutoDataModule(root=str(tmp_path), **SETTINGS), module_of(kind, tmp_path)):
        data.setup()
        assert data.class_names == ["cat", "dog"]
        for split in ("train", "val"):
            dataset = data.datasets[split]
            targets = [dataset.annotation(row) for row in range(2)]
            assert [target["labels"].tolist() for target in targets] == [[0], [1]]
            assert [target["boxes"].tolist() for target in targets] == [
                [pytest.approx([4, 4, 30, 40], abs=1e-3)]
            ] * 2
        assert len(list(data.train_dataloader())) == 2
        said = data.datasets["train"].notes[:1]
        assert said == [f"{layout.words}; 2 classes, 2 images"] or not isinstance(data, AutoDataModule)
        assert inspect_dataset(data, str(tmp_path)).count("error") == 0
    train_a_step_and_evaluate(AutoDataModule(root=str(tmp_path), **{**SETTINGS, "size": 128}))


def train_a_step_and_evaluate(data: DetectionDataModule) -> None:
    trainer, task = train_tiny(data, max_steps=1)
    assert trainer.global_step == 1
    [figures] = trainer.validate(task, datamodule=data, verbose=False)
    assert 0 <= figures["val/map"] <= 1
    assert figures["val/loss"] > 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_converted_there_and_back(name: str, tmp_path: Path) -> None:
    write, kind, _ = LAYOUTS[name]
    write(tmp_path / "set")
    for to in ("voc", "coco", "yolo"):
        there, back = str(tmp_path / to), str(tmp_path / f"from {to}")
        convert(kind, to, str(tmp_path / "set"), there)  # type: ignore[arg-type]
        convert(to, kind, there, back)  # type: ignore[arg-type]
        for data in (module_of(to, Path(there)), module_of(kind, Path(back))):
            data.setup()
            for split in ("train", "val"):
                targets = [data.datasets[split].annotation(row) for row in range(2)]
                assert [target["labels"].tolist() for target in targets] == [[0], [1]]
                for target in targets:
                    assert target["boxes"].tolist()[0] == pytest.approx([4, 4, 30, 40], abs=1e-3)


def test_annotations_in_subfolders_of_images_that_are_not(tmp_path: Path) -> None:
    for number in range(4):  # a folder of VOC's class train is no split
        image(tmp_path / f"JPEGImages/{number}.jpg", number)
        xml(tmp_path / f"Annotations/{('bus', 'train')[number % 2]}/{number}.xml", number, f"{number}.jpg")
    layout = recognise(tmp_path)
    assert layout is not None
    assert layout.words.startswith("VOC annotations without lists")
    data = AutoDataModule(root=str(tmp_path), **SETTINGS)
    data.setup()
    assert len(data.datasets["train"]) + len(data.datasets["val"]) == 4
    xml(tmp_path / "Annotations/bus/1.xml", 1, "1.jpg")  # two of one name
    inspection = inspect_dataset(AutoDataModule(root=str(tmp_path), **SETTINGS), str(tmp_path))
    named = [
        (finding.kind, finding.file) for finding in inspection.findings if finding.kind == "missing-image"
    ]
    assert named == [("missing-image", f"Annotations/{name}/1.xml") for name in ("bus", "train")]


@pytest.mark.parametrize(
    "stray", ["manifest.json", "annotations/licences.json", "classes.txt", "config.yaml"]
)
def test_other_files_beside_voc_annotations_change_nothing(stray: str, tmp_path: Path) -> None:
    for number in range(3):
        image(tmp_path / f"JPEGImages/{number}.jpg", number)
        xml(tmp_path / f"Annotations/{number}.xml", number)
    before = recognise(tmp_path)
    assert before is not None
    assert before.format == "voc"
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).write_text("{}")
    assert recognise(tmp_path) == before


@pytest.mark.slow
def test_the_commands_take_whatever_is_there(tmp_path: Path) -> None:
    coco_of_another_place(tmp_path / "set")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    common = ("data=auto", f"data.root={tmp_path}/set")
    small = ("model/backbone=tiny", "data.size=64")

    def run(*arguments: str) -> str:
        command = [*warm_python(), *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout + ended.stderr

    training = ("trainer=cpu", "trainer.max_epochs=1", "data.batch_size=2", "data.num_workers=0")
    no_pictures = "callbacks.predictions.num_images=0"
    said = run("train.py", *common, *small, *training, no_pictures, f"hydra.run.dir={tmp_path}/run")
    assert (
        "COCO annotations in annotations/instances_train.json and annotations/instances_val.json; 2 cl"
        in said
    )
    assert "warnings: 2 x filename-mismatch" in said
    assert "0 errors" in run("-m", "detection.check", *common, *small, f"hydra.run.dir={tmp_path}/check")
    ckpt = f"ckpt={tmp_path}/run/checkpoints/last.ckpt"
    run("-m", "detection.evaluate", ckpt, *common, f"hydra.run.dir={tmp_path}/evaluation")


def test_a_set_of_another_kind_is_named(tmp_path: Path) -> None:
    coco_roboflow(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"holds COCO annotations in .*: .*type " r"data=auto data\.root="
    ):
        module_of("voc", tmp_path).setup()
    (tmp_path / "empty/photos").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="holds no annotations that are known, but: photos"):
        AutoDataModule(root=str(tmp_path / "empty"), **SETTINGS).setup()


def test_voc_2007_alone_names_the_data_that_take_it(tmp_path: Path) -> None:
    for place in (tmp_path / "VOCdevkit/VOC2007", tmp_path / "other/VOC2007"):
        (place / "Annotations").mkdir(parents=True)
        (place / "ImageSets/Main").mkdir(parents=True)
        (place / "ImageSets/Main/val.txt").write_text("")
        with pytest.raises(FileNotFoundError, match="holds VOC 2007 alone: type data=voc07"):
            find_voc(
                place.parents[1] if place.parent.name == "VOCdevkit" else place.parent, (2012, "trainval")
            )


def test_lists_that_are_named_and_not_there_are_described(tmp_path: Path) -> None:
    voc_images_folder(tmp_path)
    lists = tmp_path / "VOCdevkit/VOC2007/ImageSets/Main"
    options: dict[str, Any] = {"root": str(tmp_path), "train_splits": ["train"], "classes": None, **SETTINGS}
    for name, message in (("foo", "are: train, val"), ("bar", "are: none. Write train.txt and val.txt")):
        with pytest.raises(FileNotFoundError, match=rf"{name}\.txt does not exist; the splits .*{message}"):
            VOCDataModule(**{**options, "val_splits": [name]}).setup()
        shutil.rmtree(lists, ignore_errors=name == "bar")


def test_flags_of_a_list_of_one_class_are_said(tmp_path: Path) -> None:
    voc_images_folder(tmp_path)
    (tmp_path / "VOCdevkit/VOC2007/ImageSets/Main/train.txt").write_text("0 1\n1 -1\n")
    data = module_of("voc", tmp_path)
    data.setup()
    assert "of its 2 images 1 without it (-1) is used all the same" in data.datasets["train"].notes[0]


def test_names_of_classes_are_the_words_that_are_written(tmp_path: Path) -> None:
    yolo_valid(tmp_path)
    (tmp_path / "my.yaml").write_text("train: train/images\nval: valid/images\nnames: [no, 007]\nnc: 2\n")
    data = module_of("yolo", tmp_path)
    data.setup()
    assert data.class_names == ["no", "007"]


def test_photographs_are_turned_as_the_size_of_the_annotation_asks(tmp_path: Path) -> None:
    voc_images_folder(tmp_path)
    folder = tmp_path / "VOCdevkit/VOC2007"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(folder / "images/0.Jpg", "JPEG", exif=exif)
    for size, expected in (((60, 40), (40, 60)), ((40, 60), (60, 40))):
        sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
        (folder / "Annotations/0.xml").write_text(annotation((5, 5, 30, 35), size=sides))
        data = module_of("voc", tmp_path)
        data.setup()
        assert data.datasets["train"][0].image.shape[1:] == (SIZE, SIZE)
        assert data.datasets["train"].sizes[0] == expected
    (folder / "Annotations/0.xml").write_text(annotation((5, 5, 30, 35), size=VOC_SIZE))
    with pytest.raises(
        ValueError, match=r"is for an image of 48x48 pixels, but .*0.Jpg has 60x40, and 40x60 turned"
    ):
        module_of("voc", tmp_path).setup()


def test_boxes_around_segmentations_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        pixels = np.asfortranarray(rng.random((13, 17)) > rng.uniform(0.5, 1), np.uint8)
        encoded = mask.encode(pixels)
        x, y, width, height = mask.toBbox(encoded).tolist()
        expected = (x, y, x + width, y + height) if pixels.any() else None
        assert box_around({"size": [13, 17], "counts": encoded["counts"].decode()}) == expected
    assert box_around({"size": [2, 2], "counts": [1, 2, 1]}) == (0, 0, 2, 2)
    assert box_around([[1, 2, 5, 2, 5.5, 7]]) == (1, 2, 5.5, 7)
    for wrong in (None, [], [[1, 2]], {"counts": 3}, {"counts": [9], "size": [1, 1]}, "x"):
        assert box_around(wrong) is None


@pytest.mark.parametrize(
    ("images", "labels"), [("", ""), ("images/train", "labels/train"), ("TRAIN/IMAGES", "TRAIN/LABELS")]
)
def test_labels_alone_need_the_names_of_the_classes(images: str, labels: str, tmp_path: Path) -> None:
    image(tmp_path / images / "a.jpg", 0)
    (tmp_path / labels).mkdir(parents=True, exist_ok=True)
    (tmp_path / labels / "a.txt").write_text(f"0 {LINE}\n")
    with pytest.raises(
        FileNotFoundError, match=r"nothing else names the classes: write it, with a line such as names:"
    ):
        AutoDataModule(root=str(tmp_path), **SETTINGS).setup("fit")


@pytest.mark.parametrize("capitals", [False, True])
@pytest.mark.parametrize("places", ["{split}/{part}", "{part}/{split}"])
def test_splits_of_a_file_that_names_the_classes_only(places: str, capitals: bool, tmp_path: Path) -> None:
    def folder(split: str, part: str) -> Path:
        name = places.format(split=split, part=part)
        return tmp_path / (name.upper() if capitals else name)

    for number, split in enumerate(("train", "valid")):
        image(folder(split, "images") / "a.jpg", number)
        labels = folder(split, "labels") / "a.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text(f"0 {LINE}\n")
    (tmp_path / "data.yaml").write_text("nc: 1\nnames: [cat]\n")
    data = AutoDataModule(root=str(tmp_path), **SETTINGS)
    assert [len(data.read(split).records) for split in ("train", "val")] == [1, 1]
    assert data.set_apart is None


def test_a_test_that_an_export_names_and_does_not_have_is_val(tmp_path: Path) -> None:
    """Some tools always name one."""
    for split in ("train", "valid"):
        for part in ("images", "labels"):
            (tmp_path / split / part).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (64, 48), (number * 80, 90, 20)).save(tmp_path / f"{split}/images/{number}.jpg")
            (tmp_path / f"{split}/labels/{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    named = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: [cat]\n"
    (tmp_path / "data.yaml").write_text(named)
    data = YOLODataModule(
        root=str(tmp_path), size=64, train_transform=ssd_train_transform, eval_transform=ssd_eval_transform
    )
    data.setup()
    assert [len(data.datasets[split]) for split in ("train", "val", "test")] == [3, 3, 3]
    assert data.describe_split("test") == "test = val, 3 images; no test list"
    assert sum("'../test/images', which are not there" in note for note in data.datasets["train"].notes) == 1
    findings = inspect_dataset(data, str(tmp_path)).findings
    assert [finding.severity for finding in findings if finding.kind == "missing-split"] == ["warning"]
    assert not [finding for finding in findings if finding.severity == "error"]
    (tmp_path / "data.yaml").write_text(named.replace("../valid/images", "../nowhere"))
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        YOLODataModule(
            root=str(tmp_path),
            size=64,
            train_transform=ssd_train_transform,
            eval_transform=ssd_eval_transform,
        ).setup()


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ("val: ../valid/images\ntest: ../test/images\n", ()),
        ("val: ../valid/images\n", ("valid/images",)),
        ("validation: Valid/Images\ntest:\n", ()),
        ("val:\ntest: ''\n", ()),
        ("val: null\ntest: ~\n", ()),
    ],
    ids=["not there", "empty", "in capitals", "nothing", "null"],
)
def test_a_validation_that_an_export_names_and_does_not_have_is_set_apart(
    tmp_path: Path, lines: str, left: tuple[str, ...]
) -> None:
    for part in ("train/images", "train/labels", *left):
        (tmp_path / part).mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", (64, 48), (number * 50, 90, 20)).save(tmp_path / f"train/images/{number}.jpg")
        (tmp_path / f"train/labels/{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    about = f"train: ../train/images\n{lines}names: [cat]\n"
    (tmp_path / "data.yaml").write_text(about)
    data = AutoDataModule(root=str(tmp_path), **SETTINGS)
    data.setup()
    assert [len(data.datasets[split]) for split in ("train", "val", "test")] == [4, 1, 1]
    told = [note for note in data.datasets["train"].notes if "which are not there" in note]
    assert len(told) == ("/" in lines)
    assert data.split_lines
    assert [finding.severity for finding in inspect_dataset(data, str(tmp_path)).findings].count("error") == 0


def test_fiftyones_folders_are_recognised(tmp_path: Path) -> None:
    for number in range(4):
        image(tmp_path / f"voc/data/{number}.jpg", number)
        xml(tmp_path / f"voc/labels/{number}.xml", number)
        image(tmp_path / f"coco/data/{number}.jpg", number)
    (tmp_path / "coco/labels.json").write_text(document([f"{number}.jpg" for number in range(4)]))
    for kind in ("voc", "coco"):
        data = AutoDataModule(root=str(tmp_path / kind), val_fraction=0.25, **SETTINGS)
        data.setup()
        assert data.class_names == ["cat", "dog"]
        found = inspect_dataset(data, str(tmp_path / kind))
        assert found.count("error") == 0
        assert not [finding for finding in found.findings if finding.kind == "filename-mismatch"]


def test_a_set_one_folder_deeper_is_named(tmp_path: Path) -> None:
    yolo_valid(tmp_path / "my set")
    (tmp_path / "__MACOSX").mkdir()
    with pytest.raises(FileNotFoundError, match=r"A folder in it is a set: type 'data.root=.*/my set'"):
        AutoDataModule(root=str(tmp_path), **SETTINGS).setup()


def test_lists_of_single_classes_alone_say_what_to_type(tmp_path: Path) -> None:
    """As VoTT writes them: by file name, with a flag for whether the class is there."""
    voc_images_folder(tmp_path)
    folder = tmp_path / "VOCdevkit/VOC2007"
    lists = folder / "ImageSets/Main"
    for path in lists.iterdir():
        path.unlink()
    for name in ("cat", "dog"):
        (lists / f"{name}_train.txt").write_text(f"0.jpg {'1' if name == 'cat' else '-1'}\r\n1.jpg 1\r\n")
        (lists / f"{name}_val.txt").write_text("2.jpg 1\n")
    data = AutoDataModule(root=str(folder), **SETTINGS)
    with pytest.raises(FileNotFoundError, match=r"Its lists are of one class each") as raised:
        data.setup()
    typed = str(raised.value).rpartition("make one of all by ")[2]
    subprocess.run(["bash", "-c", typed], check=True)
    assert (lists / "train.txt").read_text().split() == ["0.jpg", "1.jpg"]
    data.setup()
    assert [len(data.datasets[split]) for split in ("train", "val")] == [2, 1]


def test_lists_without_one_to_train_on_say_what_to_write(tmp_path: Path) -> None:
    voc_images_folder(tmp_path)
    folder = tmp_path / "VOCdevkit/VOC2007"
    for path in (folder / "ImageSets/Main").iterdir():
        path.rename(path.with_name(f"my_{path.stem}_list.txt"))
    (folder / "ImageSets/Main/other.txt").write_text("0\n")
    with pytest.raises(FileNotFoundError, match=r"write ImageSets/Main/train\.txt, an image id a line"):
        AutoDataModule(root=str(folder), **SETTINGS).setup()


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("0.json", {"version": "5.5.0", "flags": {}, "shapes": [], "imagePath": "0.jpg"}, "labelme's format"),
        ("via_project.json", {"_via_settings": {"ui": {}}, "_via_img_metadata": {}}, "VIA's own format"),
        ("project-1.json", [{"id": 1, "annotations": [{"completed_by": 1}]}], "Label Studio's own format"),
        ("a/_annotations.createml.json", [], "CreateML's format"),
        ("a/_annotations.csv", "", "A table"),
    ],
)
def test_formats_that_are_not_read_are_named(file: str, content: Any, told: str, tmp_path: Path) -> None:
    image(tmp_path / "0.jpg", 0)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(content, indent=2))
    with pytest.raises(
        (FileNotFoundError, AnnotationError), match=rf"{told} is not read: .* as COCO, Pascal VOC or YOLO"
    ):
        AutoDataModule(root=str(tmp_path), **SETTINGS).setup()
