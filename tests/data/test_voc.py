import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from detection.data.voc import VOC_CLASSES, VOCDetection

Objects = list[tuple[str, tuple[int, int, int, int], int]]


def add(
    folder: Path, image_id: str, objects: Objects, size: tuple[int, int] = (30, 40), suffix: str = ".png"
) -> None:
    """Adds an image of random pixels and its annotation; boxes as VOC writes them, counted from 1."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{image_id}{suffix}")
    body = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2), difficult in objects
    )
    (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{body}</annotation>")


def write_list(folder: Path, split: str, ids: list[str]) -> None:
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with VOCdevkit/VOC2007 (train: 2 images, val: 1) and VOCdevkit/VOC2012 (train: 1)."""
    devkit = tmp_path / "data" / "VOCdevkit"
    add(devkit / "VOC2007", "000005", [("dog", (1, 2, 20, 30), 0), ("cat", (11, 5, 40, 25), 1)])
    add(devkit / "VOC2007", "000007", [], size=(20, 50))
    add(devkit / "VOC2007", "000009", [("person", (3, 3, 9, 9), 0)])
    add(devkit / "VOC2012", "000005", [("tvmonitor", (2, 2, 5, 5), 0)])
    write_list(devkit / "VOC2007", "train", ["000005", "000007"])
    write_list(devkit / "VOC2007", "val", ["000009"])
    write_list(devkit / "VOC2012", "train", ["000005"])
    return tmp_path / "data"


def test_voc_classes() -> None:
    assert len(VOC_CLASSES) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    assert VOC_CLASSES[14] == "person"


def test_sample(root: Path) -> None:
    dataset = VOCDetection(root, [(2007, "train")])
    image, target = dataset[0]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert torch.equal(
        image, torch.from_numpy(pixels).permute(2, 0, 1)
    )  # PNG is lossless: RGB order is exact
    torch.testing.assert_close(target["boxes"], torch.tensor([[0.0, 1, 20, 30], [10, 4, 40, 25]]))
    assert target["labels"].tolist() == [11, 7]
    assert target["labels"].dtype == torch.int64
    assert target["difficult"].tolist() == [False, True]
    assert target["image_id"] == "VOC2007/000005"
    assert target["size"] == (30, 40)


def test_image_without_objects_is_kept(root: Path) -> None:
    image, target = VOCDetection(root, [(2007, "train")])[1]
    assert image.shape == (3, 20, 50)
    assert target["boxes"].shape == (0, 4)
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].shape == target["difficult"].shape == (0,)
    assert target["labels"].dtype == torch.int64
    assert target["difficult"].dtype == torch.bool


def test_splits_are_joined_in_order(root: Path) -> None:
    dataset = VOCDetection(root, [[2012, "train"], ["VOC2007", "train"]])
    assert dataset.image_ids == ["VOC2012/000005", "VOC2007/000005", "VOC2007/000007"]
    assert dataset.sizes == [(30, 40), (30, 40), (20, 50)]
    assert len(dataset) == 3
    assert [dataset[i].target["image_id"] for i in range(3)] == dataset.image_ids


def test_root_may_be_the_devkit_its_parent_or_one_folder(root: Path) -> None:
    devkit = root / "VOCdevkit"
    expected = ["VOC2007/000005", "VOC2007/000007"]
    assert VOCDetection(str(root), [(2007, "train")]).image_ids == expected
    assert VOCDetection(devkit, [("VOC2007", "train")]).image_ids == expected
    assert VOCDetection(devkit / "VOC2007", ["train"]).image_ids == expected
    assert len(VOCDetection(devkit / "VOC2007", ["train", "val"])) == 3


def test_annotation_does_not_decode(root: Path) -> None:
    dataset = VOCDetection(root, [(2007, "train")])
    expected = dataset[0].target
    for path in (root / "VOCdevkit" / "VOC2007" / "JPEGImages").iterdir():
        path.unlink()
    target = dataset.annotation(0)
    assert torch.equal(target["boxes"], expected["boxes"])
    assert target["image_id"] == expected["image_id"]
    target["boxes"].zero_()
    assert torch.equal(dataset.annotation(0)["boxes"], expected["boxes"])


class HalveAndDrop:
    """Halves the image and keeps the last object only."""

    seeded_with: int | None = None

    def seed(self, seed: int) -> None:
        self.seeded_with = seed

    def __call__(
        self,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        labels: NDArray[np.int64],
        difficult: NDArray[np.bool_],
    ) -> tuple[Tensor, NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        assert image.shape[2] == 3
        dtypes = [array.dtype.name for array in (image, boxes, labels, difficult)]
        assert dtypes == ["uint8", "float32", "int64", "bool"]
        small = torch.from_numpy(image[::2, ::2].copy()).permute(2, 0, 1)
        return small, boxes[-1:] * np.float32(0.5), labels[-1:], difficult[-1:]


def test_transform(root: Path) -> None:
    transform = HalveAndDrop()
    dataset = VOCDetection(root, [(2007, "train")], transform=transform)
    image, target = dataset[0]
    assert image.shape == (3, 15, 20)
    torch.testing.assert_close(target["boxes"], torch.tensor([[5.0, 2, 20, 12.5]]))
    assert target["labels"].tolist() == [7]
    assert target["difficult"].tolist() == [True]
    assert target["size"] == (30, 40)  # of the file, not of the transformed image
    assert dataset[1].target["boxes"].shape == (0, 4)
    dataset.seed(5)
    assert transform.seeded_with == 5


def test_seed_without_a_transform_changes_nothing(root: Path) -> None:
    dataset = VOCDetection(root, [(2007, "train")])
    before = dataset[0].image
    dataset.seed(5)
    assert torch.equal(dataset[0].image, before)


def test_survives_pickling_for_spawned_workers(root: Path) -> None:
    dataset = VOCDetection(root, [(2007, "train")])
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0].image, dataset[0].image)
    assert torch.equal(copy[0].target["boxes"], dataset[0].target["boxes"])


def test_classes_from_the_data(tmp_path: Path) -> None:
    add(tmp_path / "mine", "a", [("Zebra", (1, 1, 9, 9), 0), (" apple ", (1, 1, 9, 9), 0)])
    add(tmp_path / "mine", "b", [("zebra", (1, 1, 9, 9), 0), ("zebra", (1, 1, 9, 9), 0)])
    write_list(tmp_path / "mine", "all", ["a", "b"])
    dataset = VOCDetection(tmp_path / "mine", ["all"], classes=None)
    assert dataset.classes == ("apple", "zebra")
    assert dataset[0].target["labels"].tolist() == [1, 0]


def test_class_names_match_regardless_of_case_and_spaces(root: Path) -> None:
    dataset = VOCDetection(root, [(2007, "train")], classes=[" Cat", "DOG"])
    assert dataset.classes == ("Cat", "DOG")
    assert dataset[0].target["labels"].tolist() == [1, 0]


def test_unknown_class(root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"VOC2007/Annotations/000005.xml: object 2 .*'cat', did you mean 'cats'"
    ) as e:
        VOCDetection(root, [(2007, "train")], classes=["dog", "cats"])
    assert "The classes are: dog, cats" in str(e.value)


@pytest.mark.parametrize("classes", [[], ["cat", "dog", "Cat"]])
def test_bad_classes(root: Path, classes: list[str]) -> None:
    with pytest.raises(ValueError, match="classes must be distinct"):
        VOCDetection(root, [(2007, "train")], classes=classes)


def test_no_classes_in_the_data(root: Path) -> None:
    write_list(root / "VOCdevkit" / "VOC2007", "empty", ["000007"])
    with pytest.raises(ValueError, match=r"no image has an object, so there is nothing to learn"):
        VOCDetection(root, [(2007, "empty")], classes=None)


def test_missing_root_folder_and_split(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist.*data\.root.*data\.download=true"):
        VOCDetection(tmp_path / "nowhere", [(2007, "train")])
    with pytest.raises(FileNotFoundError, match=r"VOC2010.*holds: VOCdevkit\."):
        VOCDetection(root, [(2010, "train")])
    with pytest.raises(FileNotFoundError, match=r"data holds: VOCdevkit"):
        VOCDetection(root, ["train"])
    with pytest.raises(FileNotFoundError, match=r"trian.txt does not exist; the splits .*: train, val"):
        VOCDetection(root, [(2007, "trian")])
    with pytest.raises(ValueError, match="a split is a name or a pair"):
        VOCDetection(root, [(2007, "train", 1)])


def test_image_in_two_splits(root: Path) -> None:
    write_list(root / "VOCdevkit" / "VOC2007", "trainval", ["000005", "000009"])
    with pytest.raises(ValueError, match="VOC2007/000005, which is in more than one"):
        VOCDetection(root, [(2007, "train"), (2007, "trainval")])


def test_incomplete_official_copy(root: Path) -> None:
    devkit = root / "VOCdevkit"
    write_list(devkit / "VOC2007", "test", ["000009"])
    write_list(devkit / "VOC2007", "trainval", ["000005"])
    write_list(devkit / "VOC2012", "trainval", ["000005"])
    with pytest.raises(ValueError, match=r"PASCAL VOC, which has 4,952 images there, but 1 are listed"):
        VOCDetection(root, [[2007, "test"]])
    with pytest.raises(ValueError, match=r"PASCAL VOC, which has 16,551 images there, but 2 are listed"):
        VOCDetection(root)
    assert len(VOCDetection(root, [(2007, "test")], classes=["person"])) == 1  # a set of one's own


def test_unreadable_images(root: Path) -> None:
    path = root / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000005.png"
    dataset = VOCDetection(root, [(2007, "train")])
    path.write_bytes(path.read_bytes()[:40])  # the header is whole, the pixels are gone
    with pytest.raises(ValueError, match=r"000005.png is not an image"):
        dataset[0]
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"000005.png is not an image"):
        VOCDetection(root, [(2007, "train")])


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    add(tmp_path / "mine", "a", [("cat", (1, 1, 60, 20), 0)], size=(30, 70), suffix=".jpg")
    path = tmp_path / "mine" / "JPEGImages" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees"
    Image.open(path).save(path, exif=exif)
    turned = cv2.imread(str(path))
    assert turned is not None
    assert turned.shape == (70, 30, 3)
    write_list(tmp_path / "mine", "all", ["a"])
    image, target = VOCDetection(tmp_path / "mine", ["all"], classes=None)[0]
    assert image.shape == (3, 30, 70)
    assert target["size"] == (30, 70)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    add(tmp_path / "mine", "a", [("cat", (1, 1, 6, 6), 0)])
    Image.new("L", (40, 30), 77).save(tmp_path / "mine" / "JPEGImages" / "a.png")
    write_list(tmp_path / "mine", "all", ["a"])
    image = VOCDetection(tmp_path / "mine", ["all"], classes=None)[0].image
    assert torch.equal(image, torch.full((3, 30, 40), 77, dtype=torch.uint8))
