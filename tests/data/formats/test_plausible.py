"""Boxes and pixels that are possible, and wrong: noticed by training, not only by the check."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.data.formats.coco import read_coco
from detection.data.image_files import decode_image
from detection.data.sources import COCODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from tests.data.annotated import coco_dataset, yolo_dataset
from tests.data.small_set import SIZE, jpeg


def write_coco(root: Path, boxes: list[list[float]], times: int = 1) -> Path:
    """One image, as train and as val, with these boxes, each so many times."""
    root.mkdir(exist_ok=True)
    (root / "a.jpg").write_bytes(jpeg())
    objects = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box}
        for number, box in enumerate(boxes * times, 1)
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": SIZE, "height": SIZE}]
    document = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    (root / "a.json").write_text(json.dumps(document))
    return root


CORNERS: list[list[float]] = [[10, 10, 40, 40], [20, 5, 45, 30], [5, 15, 30, 48], [25, 25, 40, 40]]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda box: [value / SIZE for value in box],
            r"has 4 of 4 boxes in fractions of the images' sides \(annotation 1, annotation "
            r"2, annotation 3, \.\.\.\)",
        ),
        (lambda box: box, r"has 4 of 4 boxes that reach past their images .* write x, y, width, height"),
    ],
)
def test_boxes_by_another_rule_are_refused(
    tmp_path: Path, change: Callable[[list[float]], list[float]], words: str, on_error: Any
) -> None:
    root = write_coco(tmp_path, [change(box) for box in CORNERS])
    with pytest.raises(ValueError, match=words):
        coco_dataset(root, root / "a.json", on_error=on_error)


def test_a_few_odd_boxes_are_boxes(tmp_path: Path) -> None:
    boxes: list[list[float]] = [
        [0, 0, 1, 1],
        [0.2, 0.2, 0.5, 0.5],
        [40, 40, 20, 20],
        [10, 10, 20, 20],
        [5, 5, 9, 9],
        [1, 2, 3, 4],
    ]
    root = write_coco(tmp_path, boxes)
    assert [finding.kind for finding in read_coco(root, root / "a.json").findings] == ["box-past-border"]


def test_corners_for_centres_of_yolo(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "images/a.jpg").write_bytes(jpeg())
    lines = [" ".join(["0", *(str(value / SIZE) for value in box)]) for box in CORNERS]
    (tmp_path / "labels/a.txt").write_text("\n".join(lines))
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    with pytest.raises(
        ValueError, match=r"reach past their images .*: write x y width height, x and y of the"
    ):
        yolo_dataset(tmp_path)


def test_repeated_objects_are_trained_on_once_and_evaluated_as_they_are(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [[5, 5, 20, 20], [9, 9, 20, 20]], times=2)
    data = COCODataModule(
        root=str(root), size=SIZE, train_images=".", train_annotations="a.json", val_images=".",
        val_annotations="a.json", train_transform=ssd_train_transform, eval_transform=ssd_eval_transform,
    )  # fmt: skip
    data.setup()
    for split, words in (("train", "each is trained on once"), ("val", "nothing can find them both")):
        (note,) = data.datasets[split].notes
        assert note.startswith(f"2 objects are annotated twice, class and box: {words}")
    boxes = data.datasets["train"].annotation(0)["boxes"]
    assert torch.equal(boxes, torch.tensor([[5.0, 5, 25, 25], [9, 9, 29, 29]]))
    assert len(data.datasets["val"].annotation(0)["boxes"]) == 4


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_images_are_scaled_by_what_they_hold(
    tmp_path: Path, suffix: str, channels: int, bits: int
) -> None:
    values = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8, 1).repeat(channels, axis=2)
    values[..., 0] //= 2
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), values)
    pixels = decode_image(path, upright=False)
    expected = (values[..., ::-1] >> (bits - 8)).astype(np.uint8)
    assert (pixels == expected).all()
