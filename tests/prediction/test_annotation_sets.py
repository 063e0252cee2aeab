"""What was found as a data set: check has nothing against it, and a training takes it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.conversion import WRITERS
from detection.data.conversion_source import Format
from detection.data.image_sources import ImageFile
from detection.data.sources import AutoDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset
from detection.prediction.annotation_sets import write_set
from detection.prediction.writing import Result
from detection.types import Detections
from tests.data.training import train_tiny

NAMES = ["cat", "dog", "Vögel"]
BOXES = [
    [10.2, 20.7, 60.1, 80.9],
    [0.0, 0.0, 33.3, 44.4],
    [119.9, 10.0, 120.0, 30.0],
    [40.0, 30.0, 90.0, 85.0],
]
SCORES, LABELS = [0.9, 0.8, 0.7, 0.6], [0, 2, 1, 1]


def results(folder: Path) -> list[Result]:
    """Photos of one name in two folders, one turned, one with nothing in it; a box of less than a pixel."""
    found = Detections(boxes=torch.tensor(BOXES), scores=torch.tensor(SCORES), labels=torch.tensor(LABELS))
    nothing = Detections(boxes=found["boxes"][:0], scores=found["scores"][:0], labels=found["labels"][:0])
    made = []
    for number, name in enumerate(["a.png", "sub folder/a.png", "turned.jpg", "empty.webp"]):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((120, 90))
        exif = Image.Exif()
        if name == "turned.jpg":
            image = image.transpose(Image.Transpose.ROTATE_90)
            exif[0x0112] = 6
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, exif=exif)
        detections = nothing if name == "empty.webp" else found
        made.append(Result(ImageFile(folder / name, name), (90, 120), detections, 0.0))
    return made


def module_of(root: Path) -> AutoDataModule:
    return AutoDataModule(
        root=str(root),
        size=128,
        train_transform=ssd_train_transform,
        eval_transform=ssd_eval_transform,
        num_workers=0,
        batch_size=1,
    )


@pytest.mark.parametrize("kind", WRITERS)
def test_check_has_nothing_against_a_written_set_and_it_trains_a_step(kind: Format, tmp_path: Path) -> None:
    root, left_out = write_set(kind, tmp_path / "out", results(tmp_path / "photos"), NAMES, link=False)
    assert left_out == 3, "of three images with objects, a box each"
    assert (root / "classes.txt").read_text(encoding="utf-8").split() == NAMES
    checked = inspect_dataset(module_of(root), str(root), workers=1)
    assert checked.count("error") == 0, checked.findings
    # VOC's sets declare no classes.
    assert list(checked.classes) == (sorted(NAMES) if kind == "voc" else NAMES)
    assert sorted(len(image.record.objects) for image in checked.images) == [0, 3, 3, 3]
    turned = next(image.record for image in checked.images if image.record.path.stem == "turned")
    x1, y1, x2, y2 = BOXES[0]
    wanted = [y1, 120 - x2, y2, 120 - x1] if kind == "voc" else BOXES[0]
    assert turned.objects[0].box == pytest.approx(wanted, abs=0.51 if kind == "voc" else 1e-3)
    trainer, _ = train_tiny(module_of(root), max_steps=1)
    assert trainer.global_step == 1


def test_scores_are_beside_and_what_has_no_pixel_is_left_out(tmp_path: Path) -> None:
    root, left_out = write_set("yolo", tmp_path / "out", results(tmp_path / "photos"), NAMES, link=True)
    labels = sorted((root / "labels/train").iterdir())
    assert left_out == 3
    assert len(labels) == 4
    for path in labels:
        scores = (root / "scores/train" / path.name).read_text().split()
        lines = path.read_text().splitlines()
        empty = path.stem == "empty"
        assert [float(score) for score in scores] == ([] if empty else [0.9, 0.8, 0.6])
        assert [line.split()[0] for line in lines] == ([] if empty else ["0", "2", "1"])
    images = list((root / "images/train").iterdir())
    assert all(image.is_symlink() for image in images)
    assert sorted(image.stem for image in images) == [path.stem for path in labels]
