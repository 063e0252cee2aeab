"""COCO's JSON format, with pycocotools as the oracle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from detection.data.collate import CollateList, CollatePadded
from detection.data.dataset import DetectionDataset
from detection.data.sampling import SeededDataset
from detection.data.sources import COCODataModule
from detection.data.transforms import DetectionTransform, exactly, ssd_eval_transform, ssd_train_transform
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask
from tests.data.annotated import coco_dataset

Document = dict[str, Any]


def write_image(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def annotation(number: int, image_id: int, category_id: int, bbox: Any, **more: Any) -> Document:
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """Three images, the last without objects; categories numbered with gaps and out of order."""
    write_image(tmp_path / "images/a.png", 30, 40)
    write_image(tmp_path / "images/sub/b.png", 20, 50)
    write_image(tmp_path / "images/c.png", 10, 10)
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 2, "file_name": "sub/b.png", "width": 50, "height": 20},
            {"id": 5, "file_name": "c.png", "width": 10, "height": 10},
        ],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 3, "name": "cat"}, {"id": 17, "name": "dog"}],
        "annotations": [
            annotation(1, 7, 90, [1.5, 2, 10, 20.25], iscrowd=0),
            annotation(2, 2, 3, [0, 0, 50, 20]),
            annotation(3, 7, 3, [0, 0, 30, 30], iscrowd=1),
        ],
    }


def read(folder: Path, document: Any, **options: Any) -> DetectionDataset:
    path = folder / "all.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return coco_dataset(folder / "images", path, **options)


def test_samples(tmp_path: Path, document: Document) -> None:
    dataset = read(tmp_path, document)
    assert dataset.classes == ("cat", "dog", "zebra")  # in the order of the category ids
    assert dataset.image_ids == ["7", "2", "5"]
    assert dataset.sizes == [(30, 40), (20, 50), (10, 10)]
    image, target = dataset[0]
    assert image.shape == (3, 30, 40)
    assert image.dtype == torch.uint8
    torch.testing.assert_close(target["boxes"], torch.tensor([[1.5, 2, 11.5, 22.25], [0, 0, 30, 30]]))
    assert target["labels"].tolist() == [2, 0]
    assert target["difficult"].tolist() == [False, True]  # the crowd
    assert dataset[1].target["labels"].tolist() == [0]
    empty = dataset[2].target
    assert empty["boxes"].shape == (0, 4)
    assert empty["labels"].dtype == torch.int64


def test_crowds_are_not_trained_on(tmp_path: Path, document: Document) -> None:
    dataset = read(tmp_path, document, crowd=False)
    assert dataset[0].target["labels"].tolist() == [2]
    assert dataset.notes == ["1 crowd region (iscrowd) is not trained on"]
    (tmp_path / "all.json").write_text(json.dumps(document))
    data = COCODataModule(
        root=str(tmp_path),
        train_images="images",
        train_annotations="all.json",
        val_images="images",
        val_annotations="all.json",
        size=64,
        train_transform=ssd_train_transform,
        eval_transform=ssd_eval_transform,
        num_workers=0,
        batch_size=3,
    )
    data.setup()
    assert data.class_names == ["cat", "dog", "zebra"]
    train, val = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert int(train.difficult.sum()) == 0
    assert val.difficult.tolist() == [[False, True], [False, False], [False, False]]


def test_areas_of_segments_are_those_of_an_evaluation(tmp_path: Path, document: Document) -> None:
    first, second, third = document["annotations"]
    first["area"], second["area"], third["area"] = 80.25, 0, float("nan")
    dataset = read(tmp_path, document)
    assert dataset.annotation(0)["areas"].tolist() == [80.25, 900]  # NaN is none: the area of the box
    assert dataset.annotation(1)["areas"].tolist() == [1000]
    for none in (-3, True, "80", None, 1e30):
        first["area"] = none
        assert read(tmp_path, document).annotation(0)["areas"].tolist() == [10 * 20.25, 900]


def test_boxes_of_32_pixels_keep_their_area_whatever_the_input(tmp_path: Path) -> None:
    """They go to the network's input and back in float32, which no longer decides what is small."""
    write_image(tmp_path / "images/a.png", 333, 517)
    corners: list[list[float]] = [[7, 11], [101.3, 57.1], [400.7, 299.9]]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 517, "height": 333}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [annotation(i, 1, 1, [*corner, 32, 32]) for i, corner in enumerate(corners)],
    }
    dataset = read(tmp_path, document)
    dataset.transform = ssd_eval_transform([200, 333])
    assert dataset[0].target["areas"].tolist() == [1024] * 3
    batch = CollatePadded()([dataset[0]])
    assert SSDTask.original_targets(None, batch)[0]["areas"].tolist() == [1024] * 3  # type: ignore[arg-type]
    listed = CollateList()([dataset[0]])
    assert FasterRCNNTask.original_targets(None, listed)[0]["areas"].tolist() == [1024] * 3  # type: ignore[arg-type]
    assert "areas" not in SeededDataset(dataset)[0, 5].target


def test_a_transform_that_drops_objects_goes_without_areas(tmp_path: Path, document: Document) -> None:
    dataset = read(tmp_path, document)
    dataset.transform = DetectionTransform(exactly((30, 40)), min_box_side=25)
    target = dataset[0].target
    assert len(target["labels"]) == 1
    assert "areas" not in target


def test_random_sets_against_pycocotools(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = [int(number) for number in rng.permutation(200)[:9]]
    images: list[Document] = []
    annotations: list[Document] = []
    for image_id in map(int, rng.permutation(1000)[:25]):
        height, width = map(int, rng.integers(20, 60, 2))
        write_image(tmp_path / f"images/{image_id}.png", height, width)
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": width, "height": height})
        for _ in range(rng.integers(0, 6)):
            x, y = rng.uniform(0, width / 2), rng.uniform(0, height / 2)
            box = [x, y, rng.uniform(1, width / 2), rng.uniform(1, height / 2)]
            crowd, category = int(rng.random() < 0.2), int(rng.choice(numbers))
            annotations.append(
                annotation(len(annotations) + 1, image_id, category, box, iscrowd=crowd, area=1.0)
            )
    categories = [{"id": number, "name": f"class {number}"} for number in numbers]
    dataset = read(tmp_path, {"images": images, "annotations": annotations, "categories": categories})
    oracle = COCO(str(tmp_path / "all.json"))
    assert list(dataset.classes) == [c["name"] for c in oracle.loadCats(sorted(oracle.getCatIds()))]
    assert sorted(map(int, dataset.image_ids)) == sorted(oracle.getImgIds())
    for index, name in enumerate(dataset.image_ids):
        expected = oracle.loadAnns(oracle.getAnnIds(imgIds=[int(name)]))
        found = dataset.annotation(index)
        xywh = found["boxes"].clone()
        xywh[:, 2:] -= xywh[:, :2]
        torch.testing.assert_close(
            xywh, torch.tensor([item["bbox"] for item in expected]).reshape(-1, 4), atol=1e-4, rtol=0
        )
        assert found["difficult"].tolist() == [bool(item["iscrowd"]) for item in expected]
        names = [dataset.classes[label] for label in found["labels"]]
        assert names == [oracle.cats[item["category_id"]]["name"] for item in expected]


def test_subset_of_the_classes(tmp_path: Path, document: Document) -> None:
    with pytest.raises(
        ValueError, match=r"annotation 1 of image a.png has the unknown class " "'zebra'.*skip leaves"
    ):
        read(tmp_path, document, classes=["cat"])
    dataset = read(tmp_path, document, classes=["dog", "Cat"], other_classes="skip")
    assert dataset.classes == ("dog", "Cat")
    assert dataset[0].target["labels"].tolist() == [1]
    assert dataset.notes == ["1 object of other classes left out: zebra 1"]
    assert len(dataset) == 3


def test_boxes_are_cut_at_the_borders(tmp_path: Path, document: Document) -> None:
    document["annotations"][0]["bbox"] = [-3, 5, 60, 10]
    boxes = read(tmp_path, document)[0].target["boxes"]
    torch.testing.assert_close(boxes[0], torch.tensor([0.0, 5, 40, 15]))


def test_images_are_turned_as_exif_asks(tmp_path: Path, document: Document) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / "images/d.jpg", 30, 70)
    Image.open(tmp_path / "images/d.jpg").save(tmp_path / "images/d.jpg", exif=exif)
    document["images"] = [{"id": 7, "file_name": "d.jpg", "width": 30, "height": 70}]
    document["annotations"] = []
    assert read(tmp_path, document)[0].image.shape == (3, 70, 30)


def test_image_of_another_size(tmp_path: Path, document: Document) -> None:
    dataset = read(tmp_path, document)
    write_image(tmp_path / "images/a.png", 60, 80)
    with pytest.raises(ValueError, match=r"a.png has 80x60 pixels, but .*all.json is for 40x30"):
        dataset[0]


def test_the_known_empty_boxes_of_coco_are_passed_over(tmp_path: Path, document: Document) -> None:
    write_image(tmp_path / "images/000000200365.jpg", 30, 40)
    document["images"][0]["file_name"] = "000000200365.jpg"
    document["annotations"][0]["bbox"] = [1, 2, 3, 0.0]
    assert read(tmp_path, document)[0].target["labels"].tolist() == [0]


def test_sizes_that_are_missing_are_those_of_the_files(tmp_path: Path, document: Document) -> None:
    expected = read(tmp_path, document).sizes
    del document["images"][0]["width"]
    document["images"][1]["height"] = 20.0  # as some tools write it
    document["images"][2]["height"] = 0
    assert read(tmp_path, document).sizes == expected


Change = Callable[[Document], Any]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 0, 5]), ["annotation 1 of image a.png", "empty"]),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 5, -5]), ["annotation 1 of image a.png", "empty"]),
        (lambda d: d["annotations"][0].update(bbox=[50, 2, 5, 5]), ["a.png", "lies outside", "40x30"]),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 5]), ["2 of image sub/b.png", "four numbers"]),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 5, "5"]), ["annotation 2", "four numbers"]),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, float("nan"), 5]), ["2 of image sub/b.png"]),
        (lambda d: d["annotations"][1].pop("bbox"), ["annotation 2", "four numbers", "add the box"]),
        (lambda d: d["annotations"][1].update(category_id=4), ["unknown category_id 4", "3 cat, 17 dog"]),
        (lambda d: d["annotations"][1].update(category_id="cat"), ["unknown category_id 'cat'"]),
        (lambda d: d["annotations"][1].update(image_id=99), ["2 is of image_id 99", "add the image"]),
        (lambda d: d["annotations"][1].update(iscrowd=2), ["annotation 2", "iscrowd 2"]),
        (lambda d: d["images"][1].update(id=7), ["sub/b.png", "has the id of a.png"]),
        (lambda d: d["images"][1].update(file_name="a.png"), ["a.png (id 2) is listed twice"]),
        (lambda d: d["images"][1].update(file_name="x.png"), ["x.png (id 2) is missing", "train_images"]),
        (lambda d: d["images"][1].update(width=9.5), ["sub/b.png (id 2) needs its width"]),
        (lambda d: d["images"][1].pop("file_name"), ["needs an id and a file_name"]),
        (lambda d: d["images"].clear(), ["lists no images"]),
        (lambda d: d["categories"][0].update(id=3), ["category id 3 is given twice"]),
        (lambda d: d["categories"][0].update(name="Cat"), ["2 categories the name 'cat'"]),
        (lambda d: d["categories"][0].pop("name"), ["needs an integer id and a name"]),
        (lambda d: d["categories"].clear(), ["has no categories"]),
        (lambda d: d.pop("annotations"), ["not a COCO annotation file", "under annotations"]),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_remedy(
    tmp_path: Path, document: Document, change: Change, words: list[str]
) -> None:
    change(document)
    with pytest.raises(ValueError, match=r"all\.json") as error:
        read(tmp_path, document)
    assert all(word in str(error.value) for word in words), error.value


def test_files_that_are_no_annotations(tmp_path: Path, document: Document) -> None:
    with pytest.raises(ValueError, match=r"all.json is not well-formed JSON"):
        read(tmp_path, json.dumps(document)[:-5])
    with pytest.raises(ValueError, match=r"not a COCO annotation file: .* images, annotations, categories"):
        read(tmp_path, [{"image_id": 1, "score": 0.5}])
    with pytest.raises(
        FileNotFoundError, match=r"al.json does not exist; JSON files .*: all.json.*data.root"
    ):
        coco_dataset(tmp_path / "images", tmp_path / "al.json")
    (tmp_path / "all.json").write_text(json.dumps(document))
    with pytest.raises(FileNotFoundError, match=r"imgs does not exist"):
        coco_dataset(tmp_path / "imgs", tmp_path / "all.json")


def test_many_problems_are_reported_together(tmp_path: Path, document: Document) -> None:
    document["annotations"] = [annotation(number, 99, 3, [0, 0, 0, 0]) for number in range(25)]
    with pytest.raises(ValueError, match=r"25 of the images of .*(?s:.*) and 15 more"):
        read(tmp_path, document)


def test_ids_and_numbers_in_quotes_are_read(tmp_path: Path, document: Document) -> None:
    expected = [read(tmp_path, document)[row].target for row in range(3)]
    for item in document["annotations"]:
        item.update(image_id=str(item["image_id"]), category_id=str(item["category_id"]))
        item["bbox"] = [str(number) for number in item["bbox"]]
    document["annotations"][1]["iscrowd"] = None
    dataset = read(tmp_path, document)
    for row, target in enumerate(expected):
        assert torch.equal(dataset[row].target["boxes"], target["boxes"])
        assert dataset[row].target["labels"].tolist() == target["labels"].tolist()


def test_a_number_with_zeros_before_it_is_a_name(tmp_path: Path, document: Document) -> None:
    for item in (document["images"][0], *document["annotations"][::2]):
        item["id" if "file_name" in item else "image_id"] = "007"
    dataset = read(tmp_path, document)
    assert dataset.image_ids == ["007", "2", "5"]
    assert len(dataset[0].target["labels"]) == 2


@pytest.mark.parametrize(
    ("written", "name"),
    [("my%20photo%20%C3%BC.png", "my photo ü.png"), ("my photo ü.png", "my%20photo%20ü.png")],
)
def test_names_that_an_address_escapes(tmp_path: Path, document: Document, written: str, name: str) -> None:
    write_image(tmp_path / "images" / name, 30, 40)
    document["images"][0]["file_name"] = written
    assert read(tmp_path, document).paths[0].endswith(f"/{name}")


def test_turned_boxes_of_cvat_are_read_as_the_box_around_them(tmp_path: Path, document: Document) -> None:
    turned = {"occluded": False, "rotation": 90.0}
    document["annotations"] = [
        annotation(1, 7, 90, [10, 10, 20, 10], attributes=turned, segmentation=[]),
        annotation(2, 7, 90, [10, 10, 20, 10], attributes={"rotation": 0.0}),
        annotation(3, 7, 90, [10, 10, 20, 8], attributes=turned, segmentation=[[10, 10, 30, 10, 30, 18]]),
    ]
    boxes = read(tmp_path, document)[0].target["boxes"]
    torch.testing.assert_close(
        boxes, torch.tensor([[15.0, 5, 25, 25], [10, 10, 30, 20], [10, 10, 30, 18]]), atol=1e-4, rtol=0
    )
