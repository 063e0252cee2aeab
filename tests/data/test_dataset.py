"""What all formats share: the dataset over records, and the choice of classes."""

import logging
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.classes import found_classes, say_left_out
from detection.data.dataset import DetectionDataset
from detection.data.formats.judging import cut_at_borders
from detection.data.formats.records import Box, ImageRecord, ObjectRecord, Reading
from detection.data.image_files import read_header
from detection.data.sources import VOCDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.data.writers.voc_writer import write_voc


def record(folder: Path, name: str, *objects: ObjectRecord) -> ImageRecord:
    path = folder / f"{name}.png"
    Image.new("RGB", (40, 30), (200, 100, 50)).save(path)
    return ImageRecord(name, str(path), (30, 40), objects, f"annotation of {name}")


def item(name: str, box: Box = (1, 2, 10, 20), difficult: bool = False) -> ObjectRecord:
    return ObjectRecord(name, box, difficult, number=1)


def dataset_of(records: list[ImageRecord], classes: list[str], **options: Any) -> DetectionDataset:
    return DetectionDataset(Reading("the images", records=records), classes, **options)


def test_a_fingerprint_is_of_images_and_annotations_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()

    def of(*records: ImageRecord) -> str:
        return dataset_of(list(records), ["cat", "dog"]).fingerprint()

    one, two = record(tmp_path, "1", item("cat")), record(tmp_path, "2")
    same = of(one, two)
    assert len(same) == 16
    assert of(record(tmp_path / "moved", "1", item("cat")), record(tmp_path / "moved", "2")) == same
    assert dataset_of([one, two, one._replace(image_id="3")], ["cat", "dog"]).first(2).fingerprint() == same
    others = [
        (one,),
        (one, record(tmp_path, "3")),
        (one, two._replace(size=(31, 40))),
        (one._replace(objects=()), two._replace(objects=one.objects)),
        (one._replace(objects=(item("dog"),)), two),
        (one._replace(objects=(item("cat", difficult=True),)), two),
        (one._replace(objects=(item("cat", (1, 2, 10, 21)),)), two),
    ]
    assert len({same, *(of(*records) for records in others)}) == 1 + len(others)


@pytest.fixture
def records(tmp_path: Path) -> list[ImageRecord]:
    return [
        record(tmp_path, "a", item("cat"), item("dog", (0.5, 0, 9, 9.25), difficult=True)),
        record(tmp_path, "b"),
        record(tmp_path, "c", item("bird"), item("Cat"), item("dog")),
    ]


def test_annotations_of_each_image(records: list[ImageRecord]) -> None:
    dataset = dataset_of(records, [" dog", "cat", "bird"])
    assert dataset.classes == ("dog", "cat", "bird")
    assert dataset.image_ids == ["a", "b", "c"]
    assert dataset.notes == []
    labels = [dataset.annotation(index)["labels"].tolist() for index in range(3)]
    assert labels == [[1, 0], [], [2, 1, 0]]
    target = dataset.annotation(0)
    torch.testing.assert_close(target["boxes"], torch.tensor([[1.0, 2, 10, 20], [0.5, 0, 9, 9.25]]))
    assert target["difficult"].tolist() == [False, True]
    assert dataset.annotation(-1)["image_id"] == "c"
    with pytest.raises(IndexError):
        dataset.annotation(3)


def test_a_caller_cannot_change_the_annotations(records: list[ImageRecord]) -> None:
    dataset = dataset_of(records, ["dog", "cat", "bird"])
    for value in dataset.annotation(0).values():
        if isinstance(value, torch.Tensor):
            value.zero_()
    assert dataset.annotation(0)["labels"].tolist() == [1, 0]
    assert dataset.annotation(0)["boxes"][0, 3] == 20


def test_few_large_arrays_travel_to_workers(records: list[ImageRecord]) -> None:
    many = [records[2]._replace(image_id=str(number)) for number in range(1000)]
    dataset = dataset_of(many, ["dog", "cat", "bird"])
    assert len(pickle.dumps(dataset)) < 150_000  # 3,000 objects of 25 bytes, and the names of the images
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy[7].target["labels"].tolist() == [2, 1, 0]


def test_other_classes_are_refused_or_left_out(records: list[ImageRecord]) -> None:
    with pytest.raises(ValueError, match=r"annotation of c: object 1 has the unknown class 'bird'") as error:
        dataset_of(records, ["cat", "dog"])
    assert "data.other_classes=skip" in str(error.value)
    dataset = dataset_of(records, ["cat"], other_classes="skip")
    assert [len(dataset.annotation(index)["labels"]) for index in range(3)] == [1, 0, 1]
    assert dataset.left_out == {"dog": 2, "bird": 1}
    assert dataset.notes == ["3 objects of other classes left out: dog 2, bird 1"]
    dataset.check_training_classes()


def test_a_misspelt_class_is_not_a_class_without_objects(records: list[ImageRecord]) -> None:
    dataset = dataset_of(records, ["cat", "elephant", "dgo"], other_classes="skip")
    with pytest.raises(ValueError, match=r"no object has the class 'dgo', did you mean 'dog'\?"):
        dataset.check_training_classes()
    dataset = dataset_of(records, ["cat", "elephant"], other_classes="skip")
    dataset.check_training_classes()
    assert dataset.notes[-1] == "no object has the class elephant"
    with pytest.raises(ValueError, match=r"no object has the class 'Birds', did you mean 'bird'\?"):
        dataset_of(records, ["cat", "Birds"], other_classes="skip").check_training_classes()


def test_long_lists_of_left_out_classes_are_cut() -> None:
    text = say_left_out(Counter({f"class{number}": 100 - number for number in range(13)}))
    assert text.startswith("1,222 objects of other classes left out: class0 100, class1 99")
    assert text.endswith("class9 91 and 3 more classes")


def test_found_classes_are_sorted_and_case_is_one(records: list[ImageRecord], tmp_path: Path) -> None:
    assert found_classes([*records, record(tmp_path, "d", item("Cat"))]) == ["Cat", "bird", "dog"]


def test_the_first_images(records: list[ImageRecord]) -> None:
    dataset = dataset_of(records, ["dog", "cat", "bird"])
    few = dataset.first(2)
    assert (len(few), len(dataset)) == (2, 3)
    assert few.image_ids == ["a", "b"]
    assert [len(few[index].target["labels"]) for index in range(2)] == [2, 0]
    for count in (0, 4):
        with pytest.raises(ValueError, match=rf"first {count} of 3 images are wanted"):
            dataset.first(count)


def test_image_of_another_size(records: list[ImageRecord]) -> None:
    dataset = dataset_of(records, ["dog", "cat", "bird"])
    Image.new("RGB", (30, 40)).save(records[0].path)
    with pytest.raises(
        ValueError, match=r"a.png has 30x40 pixels, but annotation of a is for 40x30.*rotated"
    ):
        dataset[0]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ((-1, -1, 50, 40), (0, 0, 40, 30)),
        ((40, 0, 50, 10), None),
        ((0, -5, 10, 0), None),
    ],
)
def test_cut_at_borders(box: Box, expected: Box | None) -> None:
    assert cut_at_borders(box, (30, 40)) == expected


@pytest.mark.parametrize(
    ("orientation", "shown"), [(1, (20, 50)), (3, (20, 50)), (6, (50, 20)), (8, (50, 20))]
)
def test_sizes_as_stored_and_as_shown(tmp_path: Path, orientation: int, shown: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((20, 50, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    header = read_header(tmp_path / "a.jpg")
    assert header.size_of(upright=False) == (20, 50)
    assert header.size_of(upright=True) == shown
    assert header.orientation == orientation


def test_a_voc_set_of_some_classes(
    records: list[ImageRecord], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mine"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    names = ["cat", "dog", "bird", "Cat"]
    for entry in records:
        entry.path.rename(folder / "JPEGImages" / entry.path.name)
        labels, boxes = [names.index(o.name) for o in entry.objects], [o.box for o in entry.objects]
        write_voc(
            folder / f"Annotations/{entry.image_id}.xml", entry.path.name, entry.size, boxes, labels, names
        )
    (folder / "ImageSets/Main/train.txt").write_text("a\nb\nc\n")
    (folder / "ImageSets/Main/val.txt").write_text("b\n")

    def module(classes: Any, **options: Any) -> VOCDataModule:
        return VOCDataModule(
            root=str(folder), train_splits=["train"], val_splits=["val"], classes=classes, size=64,
            train_transform=ssd_train_transform, eval_transform=ssd_eval_transform, **options,
        )  # fmt: skip

    with pytest.raises(ValueError, match="unknown class 'dog'"):
        module(["cat"]).setup()
    data = module(["bird", "cat"], other_classes="skip")
    with caplog.at_level(logging.INFO):
        data.setup()
    assert data.class_names == ["bird", "cat"]
    assert data.datasets["train"].annotation(2)["labels"].tolist() == [0, 1]
    assert "train: 2 objects of other classes left out: dog 2" in caplog.text
    with pytest.raises(ValueError, match=r"no object has the class 'birdd', did you mean 'bird'\?"):
        module(["birdd", "cat"], other_classes="skip").setup()
