"""YOLO's format: data.yaml, images and label files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from detection.data.sources import YOLODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from tests.data.annotated import yolo_dataset


def write_image(path: Path, height: int = 30, width: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_yaml(root: Path, **changes: Any) -> None:
    content = {"train": "images/train", "val": "images/val", "names": ["cat", "dog"], **changes}
    (root / "data.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))


def write_labels(root: Path, text: str, name: str = "train/a") -> None:
    path = root / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set with two training images, one without labels, and a validation image."""
    write_image(tmp_path / "images/train/a.png")
    write_image(tmp_path / "images/train/b.jpg", 20, 50)
    write_image(tmp_path / "images/val/c.png")
    write_labels(tmp_path, "1 0.5 0.5 0.5 0.2\n\n0 0.25 0.5 0.5 1.0\n")
    write_labels(tmp_path, "0 0.5 0.5 0.1 0.1\n", "val/c")
    write_yaml(tmp_path)
    return tmp_path


def test_samples(root: Path) -> None:
    dataset = yolo_dataset(root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.image_ids == ["images/train/a.png", "images/train/b.jpg"]
    assert dataset.sizes == [(30, 40), (20, 50)]
    image, target = dataset[0]
    assert image.shape == (3, 30, 40)
    torch.testing.assert_close(target["boxes"], torch.tensor([[10.0, 12, 30, 18], [0, 0, 20, 30]]))
    assert target["labels"].tolist() == [1, 0]
    assert target["difficult"].tolist() == [False, False]
    assert dataset[1].target["boxes"].shape == (0, 4)  # no label file: no objects
    assert dataset.notes == [
        "1 image of train without a label file, b.jpg for one: taken for images without objects"
    ]
    assert yolo_dataset(root / "data.yaml", "val").image_ids == ["images/val/c.png"]


def test_polygons_are_read_as_their_bounding_box(root: Path) -> None:
    write_labels(root, "1 0.1 0.2 0.5 0.1 0.4 0.8 0.2 0.9\n")
    boxes = yolo_dataset(root)[0].target["boxes"]
    torch.testing.assert_close(boxes, torch.tensor([[4.0, 3, 20, 27]]))


def test_rounding_past_the_border_is_cut(root: Path) -> None:
    write_labels(root, "1 0.75 0.75 0.5004 0.5\n")
    torch.testing.assert_close(
        yolo_dataset(root)[0].target["boxes"], torch.tensor([[19.992, 15, 40, 30]]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("names", [["cat", "dog"], {0: "cat", 1: "dog"}, {1: "dog", 0: "cat"}])
def test_names_as_list_or_numbered(root: Path, names: Any) -> None:
    write_yaml(root, names=names, nc=2)
    assert yolo_dataset(root).classes == ("cat", "dog")


def test_where_the_images_are(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = ["images/train/a.png", "images/train/b.jpg"]
    write_yaml(root, train="../images/train")  # as Roboflow exports it
    assert yolo_dataset(root).image_ids == expected
    (root / "list.txt").write_text("./images/train/b.jpg\nimages/train/a.png\n")
    write_yaml(root, train="list.txt")
    assert yolo_dataset(root).image_ids == expected[::-1]
    write_yaml(root, train=["images/train", "images/val"])
    assert yolo_dataset(root).image_ids == [*expected, "images/val/c.png"]
    write_yaml(root, train="images")
    assert len(yolo_dataset(root)) == 3
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "my.yaml"
    elsewhere.write_text(
        yaml.safe_dump({"path": str(root), "train": "images/train", "names": ["cat", "dog"]})
    )
    assert yolo_dataset(elsewhere)[0].target["labels"].tolist() == [1, 0]


def test_labels_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "train/a.png")
    (tmp_path / "train/a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "train/readme.txt").write_text("hello")
    write_yaml(tmp_path, train="train")
    assert yolo_dataset(tmp_path)[0].target["labels"].tolist() == [0]


def test_boxes_belong_to_the_image_as_it_is_shown(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = root / "images/train/b.jpg"
    Image.open(path).save(path, exif=exif)
    write_labels(root, "0 0.5 0.25 1 0.5\n", "train/b")
    image, target = yolo_dataset(root)[1]
    assert image.shape == (3, 50, 20)
    torch.testing.assert_close(target["boxes"], torch.tensor([[0.0, 0, 20, 25]]))


def test_data_module_and_subset_of_the_classes(root: Path) -> None:
    options: dict[str, Any] = {
        "root": str(root),
        "size": 64,
        "train_transform": ssd_train_transform,
        "eval_transform": ssd_eval_transform,
        "num_workers": 0,
        "batch_size": 2,
    }
    data = YOLODataModule(**options)
    data.setup()
    assert data.class_names == ["cat", "dog"]
    assert next(iter(data.train_dataloader())).images.shape == (2, 3, 64, 64)
    assert next(iter(data.test_dataloader())).image_ids == ["images/val/c.png"]
    with pytest.raises(ValueError, match=r"a.txt: line 3 has the unknown class 'cat'.*skip"):
        YOLODataModule(**options, classes=["dog"]).setup()
    few = YOLODataModule(**options, classes=["dog"], other_classes="skip")
    few.setup()
    assert few.datasets["train"].annotation(0)["labels"].tolist() == [0]
    assert few.datasets["val"].annotation(0)["labels"].tolist() == []
    with pytest.raises(ValueError, match=r"no object has the class 'cats', did you mean 'cat'\?"):
        YOLODataModule(**options, classes=["dog", "cats"], other_classes="skip").setup()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cat 0.5 0.5 0.1 0.1", ["should be numbers"]),
        ("0 0.5 0.5 0.1", ["3 numbers after the class"]),
        ("0 0.5 0.5 0.1 0.1 0.93", ["5 numbers after the class", "Scores"]),
        ("2 0.5 0.5 0.1 0.1", ["has the class 2", "0 to 1"]),
        ("-1 0.5 0.5 0.1 0.1", ["has the class -1"]),
        ("0.5 0.5 0.5 0.1 0.1", ["has the class 0.5"]),
        ("0 20 15 10 6", ["not normalised", "fractions"]),
        ("0 -0.2 0.5 0.1 0.1", ["not normalised"]),
        ("0 0.5 nan 0.1 0.1", ["not normalised"]),
        ("0 0.5 0.5 0 0.1", ["(cat) with box 0.5 0.5 0 0.1 is an empty or inverted box"]),
    ],
)
def test_bad_lines_are_named_with_their_remedy(root: Path, line: str, words: list[str]) -> None:
    write_labels(root, f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(ValueError, match=r"a\.txt: line 2 \(") as error:
        yolo_dataset(root)
    assert all(word in str(error.value) for word in [line[2:], *words]), error.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": None}, r"'names' is None; it should list the class names"),
        ({"names": {1: "cat", 2: "dog"}}, r"number them from 0 without a gap"),
        ({"nc": 3}, r"'nc' is 3, but 'names' has 2"),
        ({"train": None}, r"no split 'train'; its splits are: val"),
        ({"train": "images/trian"}, r"says 'images/trian' under 'train', but .* does not exist"),
        ({"path": "/nowhere", "train": "photos"}, r"folder /nowhere of its key 'path' does not exist"),
        ({"train": ["images/train", "images/train"]}, r"a.png is listed 2 times in train"),
    ],
)
def test_bad_descriptions(root: Path, changes: dict[str, Any], message: str) -> None:
    write_yaml(root, **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        yolo_dataset(root)


def test_bad_folders_and_files(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images/data.yaml does not exist.*data.root"):
        yolo_dataset(root / "images")
    (root / "list.txt").write_text("images/train/a.png\nimages/train/x.png\n")
    write_yaml(root, train="list.txt")
    with pytest.raises(ValueError, match=r"list.txt: line 2: there is no image .*x.png"):
        yolo_dataset(root)
    write_yaml(root)
    write_labels(root, "0 0.5 0.5 0.2 0.2\n", "train/lonely")
    with pytest.raises(ValueError, match=r"lonely.txt has no image in .*images/train"):
        yolo_dataset(root)
    (root / "labels/train/lonely.txt").unlink()
    (root / "images/train/b.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1 of the images of train in .*\n.*b.jpg is not an image"):
        yolo_dataset(root)
    (root / "labels/train/a.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"of 2 images of train none has a label file; .*labels/train"
    ):
        yolo_dataset(root)
    (root / "data.yaml").write_text("names: [")
    with pytest.raises(ValueError, match=r"data.yaml is not well-formed YAML"):
        yolo_dataset(root)
    (root / "data.yaml").write_text("train: images\nnames: [cat, dog]\nnames: [dog, cat]")
    with pytest.raises(ValueError, match=r"data.yaml has names twice: leave one of them"):
        yolo_dataset(root)
    (root / "data.yaml").write_text("[]")
    with pytest.raises(ValueError, match=r"data.yaml should hold keys and values"):
        yolo_dataset(root)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": "/content/drive/pets/images/train"},
        {"train": "C:\\pets\\images\\train"},
        {"train": "images\\train"},
        {"path": "/content/pets"},
        {"path": "../datasets/pets", "train": ["images/train"]},
    ],
)
def test_a_set_that_was_moved_is_read_and_said(root: Path, changes: dict[str, Any]) -> None:
    expected = yolo_dataset(root).image_ids
    write_yaml(root, **changes)
    dataset = yolo_dataset(root)
    assert dataset.image_ids == expected
    assert ("is not here" in " ".join(dataset.notes)) == (changes != {"train": "images\\train"})


def test_lists_of_another_computer_are_read_and_said(root: Path) -> None:
    write_yaml(root, train="train.txt")
    (root / "train.txt").write_text("/home/bob/pets/images/train/a.png\nD:\\pets\\images\\train\\b.jpg\n")
    dataset = yolo_dataset(root)
    assert dataset.image_ids == ["images/train/a.png", "images/train/b.jpg"]
    assert "and 1 more likewise" in dataset.notes[0]


def test_folders_behind_links_are_read(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_image(elsewhere / "images/d.png")
    write_labels(elsewhere, "0 0.5 0.5 0.1 0.1\n", "d")
    for part in ("images", "labels"):
        (root / part / "train/shots").symlink_to(elsewhere / part)
    dataset = yolo_dataset(root)
    assert dataset.image_ids[-1] == "images/train/shots/d.png"
    assert dataset[2].target["labels"].tolist() == [0]


def test_labels_that_end_in_capitals_are_read(root: Path) -> None:
    labels = root / "labels/train/a.txt"
    labels.rename(labels.with_suffix(".TXT"))
    assert yolo_dataset(root)[0].target["labels"].tolist() == [1, 0]


def test_two_images_of_one_label_file_are_refused(root: Path) -> None:
    write_image(root / "images/train/a.jpg", 50, 50)
    with pytest.raises(
        ValueError, match=r"a\.png and a\.jpg have one label file, .*a\.txt, and nobody knows"
    ):
        yolo_dataset(root)
    left = yolo_dataset(root, on_error="skip")
    assert [name for name in left.image_ids if "/a." in name] == [], (
        "either might learn what it does not show"
    )
    assert len(left.problems) == 2
    write_image(root / "images/train/b.png")  # neither has labels: neither has objects
    (root / "images/train/a.jpg").unlink()
    assert len(yolo_dataset(root)) == 3


@pytest.mark.parametrize("key", ["Val", "VALID"])
def test_keys_of_splits_are_read_in_capitals_too(root: Path, key: str) -> None:
    write_yaml(root, **{"val": None, key: "images/val"})
    assert len(yolo_dataset(root, "val")) > 0


@pytest.mark.parametrize("key", ["vall", "vaild", "tests"])
def test_misspelt_keys_of_splits_are_refused(root: Path, key: str) -> None:
    write_yaml(root, **{"val": None, key: "images/val"})
    with pytest.raises((ValueError, OSError), match=f"but '{key}': correct that key"):
        yolo_dataset(root)


def test_two_entries_of_another_computer_are_not_the_same_folder(root: Path) -> None:
    """Else what is trained on would be what is measured on."""
    write_yaml(root, train="/content/p/train/images", val="/content/p/valid/images")
    with pytest.raises(
        (ValueError, OSError), match="under 'train', but /content/p/train/images does not exist"
    ):
        yolo_dataset(root)
