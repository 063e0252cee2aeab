"""Data modules from files to batches."""

import pickle
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.download import Archive
from detection.data.shapes import SHAPE_CLASSES
from detection.data.sources import ShapesDataModule, VOCDataModule
from detection.data.transforms import (
    faster_rcnn_eval_transform,
    faster_rcnn_train_transform,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.ops.anchors import ssd_anchors
from detection.targets.ssd import assign_ssd_targets
from detection.types import ListBatch, PaddedBatch

SSD: dict[str, Any] = {
    "size": 64,
    "train_transform": ssd_train_transform,
    "eval_transform": ssd_eval_transform,
    "num_workers": 0,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("data"))


def shapes(root: str, **options: Any) -> ShapesDataModule:
    defaults = {**SSD, "num_train": 13, "num_val": 5, "num_test": 3, "image_size": 96, "batch_size": 4}
    data = ShapesDataModule(root=root, **{**defaults, **options})
    data.prepare_data()
    data.setup()
    return data


def anchors() -> torch.Tensor:
    return ssd_anchors([(8, 8), (4, 4)], (8, 16), (12, 24, 48), ((1, 2, 1 / 2), (1, 2, 1 / 2)))


def test_training_batches(root: str) -> None:
    data = shapes(root)
    assert data.class_names == list(SHAPE_CLASSES)
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train_dataloader()) == 3  # 13 images: the last one is dropped
    for batch in batches:
        assert isinstance(batch, PaddedBatch)
        assert batch.images.shape == (4, 3, 64, 64)
        assert batch.images.dtype == torch.uint8
        assert batch.boxes.shape == (*batch.labels.shape, 4)
        assert batch.labels.shape == batch.difficult.shape
        assert batch.sizes.tolist() == [[96, 96]] * 4
        assert batch.targets is None
    ids = [image_id for batch in batches for image_id in batch.image_ids]
    assert len(set(ids)) == 12
    assert all(image_id.startswith("Shapes/train_") for image_id in ids)


def test_evaluation_batches_hold_every_image_once_in_order(root: str) -> None:
    data = shapes(root, eval_batch_size=2)
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        count = {"val": 5, "test": 3}[split]
        batches = list(loader)
        assert [len(batch.images) for batch in batches] == [2] * (count // 2) + [1]
        ids = [image_id for batch in batches for image_id in batch.image_ids]
        assert ids == [f"Shapes/{split}_{number:05d}" for number in range(count)]
    assert len(next(iter(shapes(root).val_dataloader())).images) == 4  # batch_size unless told otherwise


def test_evaluation_keeps_all_objects_and_training_differs_by_epoch(root: str) -> None:
    data = shapes(root)
    for batch in data.val_dataloader():
        for row, image_id in enumerate(batch.image_ids):
            index = data.datasets["val"].image_ids.index(image_id)
            annotation = data.datasets["val"].annotation(index)
            real = batch.labels[row] >= 0
            torch.testing.assert_close(batch.boxes[row][real], annotation["boxes"] * 64 / 96)
            assert torch.equal(batch.labels[row][real], annotation["labels"])
    loader = data.train_dataloader()
    first = torch.cat([batch.images for batch in loader])
    loader.batch_sampler.sampler.set_epoch(1)  # type: ignore[union-attr]
    assert not torch.equal(first, torch.cat([batch.images for batch in loader]))
    again = torch.cat([batch.images for batch in shapes(root).train_dataloader()])
    assert torch.equal(first, again)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_order_and_augmentation(root: str, seed: int) -> None:
    def look(seed: int) -> torch.Tensor:
        return torch.cat([batch.images for batch in shapes(root, seed=seed).train_dataloader()])

    assert torch.equal(look(seed), look(seed))
    assert not torch.equal(look(seed), look(seed + 1))


@pytest.mark.parametrize(("batch_size", "sizes"), [(13, [13]), (12, [12]), (20, [13]), (1, [1] * 13)])
def test_only_a_smaller_last_batch_is_dropped(root: str, batch_size: int, sizes: list[int]) -> None:
    loader = shapes(root, batch_size=batch_size).train_dataloader()
    assert [len(batch.images) for batch in loader] == sizes


@pytest.mark.parametrize("workers", [0, 1])
def test_targets_in_workers_equal_those_on_the_device(root: str, workers: int) -> None:
    data = shapes(root, targets_in_workers=True, num_workers=workers)
    data.assign = partial(assign_ssd_targets, anchors())
    plain = list(shapes(root).train_dataloader())
    ready = list(data.train_dataloader())
    assert len(plain) == len(ready) == 3
    for batch, with_targets in zip(plain, ready, strict=True):
        expected = assign_ssd_targets(anchors(), batch.boxes, batch.labels)
        assert with_targets.targets is not None
        assert torch.equal(with_targets.images, batch.images)
        assert torch.equal(with_targets.targets.labels, expected.labels)
        assert torch.equal(with_targets.targets.deltas, expected.deltas)
    assert any(int((batch.targets.labels > 0).sum()) for batch in ready)
    assert next(iter(data.val_dataloader())).targets is None


def test_lists_of_images(root: str) -> None:
    data = shapes(
        root,
        size=[48, 80],
        train_transform=faster_rcnn_train_transform,
        eval_transform=faster_rcnn_eval_transform,
        collate="list",
        batch_size=2,
    )
    for loader, extra in ((data.train_dataloader(), {"seed"}), (data.val_dataloader(), {"areas"})):
        batch = next(iter(loader))
        assert isinstance(batch, ListBatch)
        assert [image.shape for image in batch.images] == [(3, 48, 48)] * 2
        assert [set(target) for target in batch.targets] == [
            {"boxes", "labels", "difficult", "image_id", "size"} | extra
        ] * 2


def test_a_step_is_divided_among_devices_and_parts(root: str) -> None:
    data = shapes(root, batch_size=12)
    assert data.divide_among(2, 3) == "12 images = 2 devices x 3 parts x 2 images"
    assert data.images_per_step == 12
    per_device = shapes(root, batch_size=None, batch_size_per_device=6)
    assert per_device.divide_among(2, 3) == "12 images = 2 devices x 3 parts x 2 images"
    assert per_device.images_per_step == 12
    few = shapes(root, batch_size=32)
    assert few.divide_among(2) == "13 images, all there are to train on (of 32 configured)"
    assert few.images_per_step == 13
    with pytest.raises(ValueError, match=r"data\.batch_size=12 does not divide among 8 devices"):
        shapes(root, batch_size=12, num_val=8, num_test=8).divide_among(8)
    with pytest.raises(ValueError, match="train has 13 images for 14 devices"):
        shapes(root, num_val=14, num_test=14).divide_among(14)


@pytest.mark.parametrize("batch_size", [0, -4])
def test_batch_size_must_be_positive(batch_size: int) -> None:
    with pytest.raises(ValueError, match=rf"data.batch_size={batch_size}: .* 1 or more"):
        ShapesDataModule(root="nowhere", **SSD, batch_size=batch_size)


def add_image(folder: Path, image_id: str, objects: list[tuple[str, tuple[int, int, int, int]]]) -> None:
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(image_id)).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{image_id}.jpg")
    body = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in objects
    )
    (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{body}</annotation>")


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    """A folder of a user: two classes in training, one of them in validation."""
    folder = tmp_path / "myset"
    add_image(folder, "a", [("zebra", (1, 1, 20, 30)), ("apple", (11, 5, 40, 25))])
    add_image(folder, "b", [])
    add_image(folder, "c", [("zebra", (3, 3, 30, 30))])
    (folder / "ImageSets/Main/train.txt").write_text("a\nb\n")
    (folder / "ImageSets/Main/val.txt").write_text("c\n")
    return folder


def own(folder: Path, classes: list[str] | Literal["voc"] | None, **options: Any) -> VOCDataModule:
    splits: dict[str, Any] = {"train_splits": ["train"], "val_splits": ["val"]}
    return VOCDataModule(root=str(folder), classes=classes, batch_size=2, **(SSD | splits | options))


def test_classes_of_the_training_split_hold_for_all(own_set: Path) -> None:
    data = own(own_set, None)
    data.setup()
    assert data.class_names == ["apple", "zebra"]
    batch = next(iter(data.val_dataloader()))
    assert batch.image_ids == ["myset/c"]
    assert batch.labels.tolist() == [[1]]  # zebra, although the validation images know no apple
    assert next(iter(data.test_dataloader())).image_ids == ["myset/c"]  # no test split: validation again


def test_given_classes_and_test_split(own_set: Path) -> None:
    data = own(own_set, ["zebra", "apple", "yak"], test_splits=["train"])
    data.setup()
    assert data.class_names == ["zebra", "apple", "yak"]
    batch = next(iter(data.test_dataloader()))
    assert batch.image_ids == ["myset/a", "myset/b"]
    assert batch.labels.tolist() == [[0, 1], [-1, -1]]


def test_the_wrong_classes_are_an_error(own_set: Path) -> None:
    with pytest.raises(ValueError, match="unknown class 'zebra'"):
        own(own_set, "voc").setup()


def test_setup_reads_once(own_set: Path) -> None:
    data = own(own_set, None)
    data.setup()
    datasets = data.datasets
    data.setup("test")
    assert data.datasets is datasets


def test_download_only_when_asked(own_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []

    def remember(root: str, archive_folder: str | None, archives: list[Archive]) -> None:
        asked.append((root, archive_folder, [archive.name for archive in archives]))

    monkeypatch.setattr("detection.data.sources.download_voc", remember)
    own(own_set, None).prepare_data()
    assert asked == []
    voc = own(own_set, None, train_splits=[(2007, "train")], val_splits=[(2007, "test")], download=True)
    voc.prepare_data()
    names = ["VOCtrainval_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar"]
    assert asked == [(str(own_set), None, names)]


def test_loaders_travel_to_spawned_workers(root: str) -> None:
    loader = shapes(root).train_dataloader()
    copy = pickle.loads(pickle.dumps(loader.dataset))
    assert torch.equal(copy[2, 5].image, loader.dataset[2, 5].image)


def threads(path: Path, upright: bool) -> np.ndarray:
    return np.full((96, 96, 3), 10 * cv2.getNumThreads() + torch.get_num_threads(), np.uint8)


def test_each_worker_has_one_thread(root: str) -> None:
    data = shapes(root, num_workers=1)
    data.datasets["val"].decode = threads
    assert next(iter(data.val_dataloader())).images.unique().tolist() == [11]
