"""Sets that list no validation images, through the data modules and the check."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from detection.checkpoints.loading import open_split
from detection.data.conversion import convert
from detection.data.datamodule import DetectionDataModule
from detection.data.own_sets import OwnDataModule
from detection.data.sources import AutoDataModule, COCODataModule, VOCDataModule, YOLODataModule
from detection.data.splitting import SetApart
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset
from tests.data.unsplit import COUNT, UNSPLIT, image, xml

SETTINGS: dict[str, Any] = {
    "size": 48,
    "train_transform": ssd_train_transform,
    "eval_transform": ssd_eval_transform,
    "num_workers": 0,
    "batch_size": 1,
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def module_of(kind: str, root: Path, **options: Any) -> OwnDataModule:
    settings = {"root": str(root), **SETTINGS, **options}
    if kind == "voc":
        voc: dict[str, Any] = {"train_splits": ["train"], "val_splits": ["val"], "classes": None}
        return VOCDataModule(**{**voc, **settings})
    if kind == "auto":
        return AutoDataModule(**settings)
    return COCODataModule(**settings) if kind == "coco" else YOLODataModule(**settings)


def ids(data: DetectionDataModule) -> dict[str, list[str]]:
    if not data.datasets:
        data.setup()
    return {split: sorted(dataset.image_ids) for split, dataset in data.datasets.items()}


@pytest.mark.parametrize("name", UNSPLIT)
def test_images_are_set_apart_whatever_the_set_looks_like(name: str, tmp_path: Path) -> None:
    kind, write = UNSPLIT[name]
    write(tmp_path)
    by_kind, by_looking = module_of(kind, tmp_path), module_of("auto", tmp_path)
    images = ids(by_kind)
    assert images == ids(by_looking)
    assert (len(images["train"]), len(images["val"]), images["test"]) == (8, 2, images["val"])
    assert len({*images["train"], *images["val"]}) == COUNT
    assert by_kind.class_names == by_looking.class_names == ["cat", "dog"]
    labels = [by_kind.datasets["val"].annotation(row)["labels"].tolist() for row in range(2)]
    assert sorted(labels) == [[0], [1]]
    (line,) = by_kind.split_lines
    what = "is the only split" if by_kind.listing.lists_val_alone else "lists no images for val"
    assert f"{what}: of its 10, 2 for val are set apart by data.seed=0" in line
    assert by_kind.describe_split("val") == "val, 2 images set apart"
    inspection = inspect_dataset(module_of(kind, tmp_path), str(tmp_path), workers=1)
    assert {item.severity for item in inspection.findings} <= {"note"}
    assert [item.kind for item in inspection.findings].count("set-apart") == 1
    assert sorted(i.record.image_id for i in inspection.images if i.split == "val") == images["val"]


def test_shares_are_chosen_for_what_is_not_listed_alone(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path)
    images = ids(module_of("auto", tmp_path, val_fraction=0.3, test_fraction=0.2, seed=4))
    assert [len(names) for names in images.values()] == [5, 3, 2]
    assert len({name for names in images.values() for name in names}) == COUNT
    with pytest.raises(
        ValueError, match=r"data\.val_fraction=0\.9 data\.test_fraction=0\.1: that leaves too"
    ):
        ids(module_of("auto", tmp_path, val_fraction=0.9, test_fraction=0.1))

    UNSPLIT["voc default"][1](tmp_path / "lists")
    lists = tmp_path / "lists/ImageSets/Main"
    (lists / "default.txt").rename(lists / "trainval.txt")
    (lists / "test.txt").write_text("8\n9\n")
    (lists / "trainval.txt").write_text("\n".join(map(str, range(8))))
    images = ids(module_of("auto", tmp_path / "lists"))
    assert images["test"] == ["lists/8", "lists/9"]
    assert (len(images["train"]), len(images["val"])) == (6, 2)
    with pytest.raises(
        ValueError, match=r"own images for test \(.*test\.txt\): .* add data\.test_splits=\[test\]"
    ):
        ids(module_of("voc", tmp_path / "lists", test_fraction=0.1))
    (lists / "val.txt").write_text("0\n1\n")
    (lists / "trainval.txt").rename(lists / "train.txt")
    with pytest.raises(ValueError, match=r"data\.val_fraction=0\.1: the set has its own images for val"):
        ids(module_of("auto", tmp_path / "lists", val_fraction=0.1))


def test_a_list_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    UNSPLIT["voc train alone"][1](tmp_path / "voc")
    with pytest.raises(FileNotFoundError, match=r"foo\.txt does not exist; the splits .* are: train"):
        ids(module_of("voc", tmp_path / "voc", val_splits=["foo"]))
    UNSPLIT["coco val alone"][1](tmp_path / "coco")
    with pytest.raises(FileNotFoundError, match=r"x\.json does not exist"):
        ids(module_of("coco", tmp_path / "coco", val_annotations="x.json"))
    UNSPLIT["yolo train alone"][1](tmp_path / "yolo")
    with pytest.raises(FileNotFoundError, match="has no split 'foo'; its splits are: train"):
        ids(module_of("yolo", tmp_path / "yolo", val_split="foo"))
    (tmp_path / "voc/ImageSets/Main/train.txt").write_text("3\n")
    with pytest.raises(ValueError, match=r"holds 1 image, too few to set some apart for val"):
        ids(module_of("voc", tmp_path / "voc"))


def test_a_split_is_the_same_in_another_folder_and_not_with_another_seed(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there/data")
    here, there = module_of("auto", tmp_path / "here"), module_of("voc", tmp_path / "there/data")
    for data in (here, there):
        data.setup()
    assert here.set_apart is not None
    assert here.set_apart == there.set_apart
    others = [module_of("auto", tmp_path / "here", seed=seed) for seed in range(1, 5)]
    assert any(ids(other)["val"] != ids(here)["val"] for other in others)


def test_crowds_that_are_read_for_an_evaluation_alone_do_not_change_the_split(tmp_path: Path) -> None:
    UNSPLIT["coco flat"][1](tmp_path)
    trained, evaluated = module_of("coco", tmp_path), module_of("coco", tmp_path)
    trained.read("train")
    assert evaluated.read("val").records
    assert evaluated.set_apart == trained.set_apart


def test_frames_of_one_camera_are_set_apart_all_the_same(tmp_path: Path) -> None:
    for number in range(COUNT):
        image(tmp_path / f"{number}.jpg", 0)
        xml(tmp_path / f"{number}.xml", number)
    data = module_of("auto", tmp_path)
    assert len(ids(data)["val"]) == 2
    assert "so many look alike that they could not stay together" in data.split_lines[0]


def kept(data: OwnDataModule) -> SetApart:
    data.setup()
    assert data.set_apart is not None
    return SetApart.of(json.loads(json.dumps(data.set_apart.described())))


def test_the_split_of_a_checkpoint_is_kept(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path)
    split = kept(module_of("auto", tmp_path, seed=1, test_fraction=0.2))
    before = split.images
    again = module_of("voc", tmp_path, seed=2)
    assert again.keep_split(split, "a.ckpt")
    again.setup()
    assert again.set_apart == split
    assert not again.test_is_val
    assert "is split as in a.ckpt: 6 for train, 2 for val, 2 for test" in again.split_lines[0]

    image(tmp_path / "new.jpg", 99)
    xml(tmp_path / "new.xml", 0)
    shutil.copy(tmp_path / before["val"][0], tmp_path / "copy.jpg")
    xml(tmp_path / "copy.xml", 1)
    (tmp_path / before["train"][0]).with_suffix(".xml").unlink()
    grown = module_of("auto", tmp_path)
    grown.keep_split(split, "a.ckpt")
    grown.setup()
    assert grown.set_apart is not None
    assert grown.set_apart.images["train"] == sorted([*before["train"][1:], "new.jpg"])
    assert grown.set_apart.images["val"] == sorted([*before["val"], "copy.jpg"])
    assert "New since: 2 images" in grown.split_lines[0]
    assert "1 for train, 1 for val, 0 for test. No longer there: 1 image of" in grown.split_lines[0]
    with pytest.raises(ValueError, match=r"data\.val_fraction=0\.3: a\.ckpt has set images apart already"):
        module_of("auto", tmp_path, val_fraction=0.3).keep_split(split, "a.ckpt")


def test_the_split_of_a_checkpoint_does_not_hold_for_another_set(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path / "a")
    split = kept(module_of("auto", tmp_path / "a"))
    UNSPLIT["yolo label studio"][1](tmp_path / "b")
    assert not module_of("auto", tmp_path / "b").keep_split(split, "a.ckpt")
    # Lists that were written since are the user's word; what was learned is counted.
    lists = tmp_path / "a/ImageSets/Main"
    lists.mkdir(parents=True)
    learned, unseen = Path(split.images["train"][0]).stem, Path(split.images["val"][0]).stem
    (lists / "val.txt").write_text(f"{learned}\n{unseen}\n")
    others = [f"{number}" for number in range(COUNT) if f"{number}" not in (learned, unseen)]
    (lists / "train.txt").write_text("\n".join(others))
    data = module_of("auto", tmp_path / "a")
    assert not data.keep_split(split, "a.ckpt")
    data.setup()
    assert data.set_apart is None
    assert data.learned_before("val", split) == 1


def test_images_that_were_added_to_a_set_and_not_to_its_lists_are_said(tmp_path: Path) -> None:
    UNSPLIT["voc train alone"][1](tmp_path)
    lists = tmp_path / "ImageSets/Main"
    (lists / "val.txt").write_text("0\n")
    (lists / "test.txt").write_text("1\n")
    (lists / "train.txt").write_text("2\n3\n4\n5\n6\n7\n")
    for kind in ("auto", "voc"):
        data = module_of(kind, tmp_path)
        data.setup()
        assert (
            "2 annotated images are in no list, so never used, 8.xml for one: to train on such, add their "
            f"ids to {lists}/train.txt, one a line"
        ) in data.datasets["train"].notes
        found = inspect_dataset(module_of(kind, tmp_path), str(tmp_path), workers=1).findings
        told = [item.file for item in found if item.kind == "unlisted-annotation"]
        assert told == ["Annotations/8.xml", "Annotations/9.xml"]
        assert {item.severity for item in found if item.file in told} == {"warning"}
    # PASCAL VOC's own lists leave out thousands, which are annotated for segmentation.
    (lists / "aeroplane_train.txt").write_text("2 -1\n")
    data = module_of("auto", tmp_path)
    data.setup()
    assert not any("in no list" in note for note in data.datasets["train"].notes)
    found = inspect_dataset(module_of("auto", tmp_path), str(tmp_path), workers=1).findings
    assert [item.severity for item in found if "in no list" in item.message] == ["note", "note"]


def test_classes_are_counted_as_they_are_learned(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path)
    written = tmp_path / "Annotations/0.xml"
    written.write_text(written.read_text().replace("cat", "Cat"))
    data = module_of("auto", tmp_path)
    data.setup()
    assert data.class_names == ["cat", "dog"]
    assert "; 2 classes, " in data.datasets["train"].notes[0]


def test_images_without_an_annotation_are_said_where_there_are_no_lists(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path)
    image(tmp_path / "bare.jpg", 99)
    data = module_of("auto", tmp_path)
    data.setup()
    assert "holds 1 image without an XML, not used, bare.jpg for one" in data.datasets["train"].notes[1]
    findings = inspect_dataset(module_of("voc", tmp_path), str(tmp_path), workers=1).findings
    assert [item.kind for item in findings] == ["set-apart", "unannotated-images"]


def test_a_class_of_validation_alone_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    UNSPLIT["voc train alone"][1](tmp_path)
    (tmp_path / "ImageSets/Main/val.txt").write_text("9\n")
    (tmp_path / "ImageSets/Main/train.txt").write_text("\n".join(map(str, range(9))))
    path = tmp_path / "Annotations/9.xml"
    path.write_text(path.read_text().replace("dog", "yak"))
    data = module_of("voc", tmp_path)
    with caplog.at_level("INFO"):
        data.setup()
    assert data.class_names == ["cat", "dog", "yak"]
    assert "Warning: val has objects of yak, which no training image shows" in caplog.text
    findings = inspect_dataset(module_of("voc", tmp_path), str(tmp_path), workers=1).findings
    assert [item.severity for item in findings if "'yak'" in item.message and "train" in item.message] == [
        "warning"
    ]


@pytest.mark.parametrize("name", ["voc", "coco", "yolo"])
def test_a_test_alone_is_tested_whole_and_not_trained_on(name: str, tmp_path: Path) -> None:
    """A set to judge a finished detector by; a fifth of it says less, and a training on it spoils it."""
    _, write = UNSPLIT[f"{name} val alone" if name != "yolo" else "yolo train alone"]
    write(tmp_path)
    if name == "voc":
        (tmp_path / "ImageSets/Main/val.txt").rename(tmp_path / "ImageSets/Main/test.txt")
    elif name == "coco":
        file = next(tmp_path.rglob("*.json"))
        file.rename(file.with_name(file.name.replace("val", "test")))
    else:
        file = tmp_path / "data.yaml"
        file.write_text(file.read_text().replace("train:", "test:"))
    data = module_of("auto", tmp_path)
    data.evaluate_whole()
    open_split(data, "test", ["cat", "dog"], "a.ckpt")
    assert data.describe_split("test") == f"test, {COUNT} images"
    with pytest.raises(FileNotFoundError, match="has a list for test, and none to train on: name one train"):
        module_of("auto", tmp_path).setup()
    (line,) = convert("auto", "coco", str(tmp_path), str(tmp_path / "out"))[:1]
    assert line == f"{tmp_path}/out: test {COUNT} images; 2 classes"


@pytest.mark.parametrize("name", ["voc val alone", "coco val alone"])
def test_a_val_alone_is_validated_whole(name: str, tmp_path: Path) -> None:
    UNSPLIT[name][1](tmp_path)
    data = module_of("auto", tmp_path)
    data.evaluate_whole()
    with pytest.raises(
        FileNotFoundError, match=r"lists val alone, and no train|list for val, and none to train on"
    ):
        open_split(data, "train", ["cat", "dog"], "a.ckpt")
    for split in ("val", "test"):
        data = module_of("auto", tmp_path)
        data.evaluate_whole()
        open_split(data, split, ["cat", "dog"], "a.ckpt")
        assert len(data.datasets[split]) == COUNT


def test_what_nothing_divides_is_tested_whole(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path)
    data = module_of("auto", tmp_path)
    data.evaluate_whole()
    open_split(data, "test", ["cat", "dog"], "a.ckpt")
    assert data.describe_split("test") == f"test, {COUNT} images, all that there are"
    for split in ("train", "val"):
        open_split(data, split, ["cat", "dog"], "a.ckpt")
        assert data.describe_split(split) == f"{split}, {COUNT} images, all that there are"
    for options in ({"val_fraction": 0.2}, {"test_fraction": 0.2}):
        divided = module_of("auto", tmp_path, **options)
        divided.evaluate_whole()
        open_split(divided, "test", ["cat", "dog"], "a.ckpt")
        assert len(divided.datasets["test"]) == 2, "as it was asked for"
    trained = module_of("auto", tmp_path)
    trained.setup()
    assert trained.set_apart is not None
    kept = module_of("auto", tmp_path)
    assert kept.keep_split(trained.set_apart, "a.ckpt")
    kept.evaluate_whole()
    open_split(kept, "test", ["cat", "dog"], "a.ckpt")
    assert kept.datasets["test"].image_ids == trained.datasets["val"].image_ids, "as its training did"


def test_a_test_alone_has_no_val(tmp_path: Path) -> None:
    UNSPLIT["voc val alone"][1](tmp_path)
    (tmp_path / "ImageSets/Main/val.txt").rename(tmp_path / "ImageSets/Main/test.txt")
    data = module_of("auto", tmp_path)
    data.evaluate_whole()
    with pytest.raises(FileNotFoundError, match="has a list for test, and none to train on"):
        open_split(data, "val", ["cat", "dog"], "a.ckpt")


def test_a_class_that_is_listed_and_that_no_object_has_keeps_no_set_from_being_evaluated(
    tmp_path: Path,
) -> None:
    UNSPLIT["coco val alone"][1](tmp_path)
    (file,) = tmp_path.rglob("*.json")
    about = json.loads(file.read_text())
    about["categories"].append({"id": 77, "name": "yak"})
    file.write_text(json.dumps(about))
    data = module_of("auto", tmp_path)
    data.evaluate_whole()
    open_split(data, "test", ["cat", "dog"], "a.ckpt")
    assert data.datasets["test"].classes == ("cat", "dog")
    about["annotations"][0]["category_id"] = 77
    file.write_text(json.dumps(about))
    another = module_of("auto", tmp_path)
    another.evaluate_whole()
    with pytest.raises(ValueError, match="the data also has yak"):
        open_split(another, "test", ["cat", "dog"], "a.ckpt")


@pytest.mark.parametrize("classes", [["Cat"], ["nobody"]])
def test_classes_that_a_checkpoint_knows_are_not_left_out(classes: list[str], tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path)
    data = module_of("auto", tmp_path, classes=classes, other_classes="skip")
    data.evaluate_whole()
    with pytest.raises(ValueError, match=r"data\.classes leaves out .*dog.*, which a\.ckpt knows"):
        open_split(data, "test", ["cat", "dog"], "a.ckpt")
    data = module_of("auto", tmp_path, classes=["dog", "Cat"], other_classes="skip")
    data.evaluate_whole()
    open_split(data, "test", ["cat", "dog"], "a.ckpt")
    assert data.datasets["test"].classes == ("cat", "dog")
