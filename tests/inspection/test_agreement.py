"""What the check calls no error is trained on, and the other way round, whatever is done to a set."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.datamodule import DetectionDataModule
from detection.data.sources import COCODataModule, VOCDataModule, YOLODataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.inspection.inspect import inspect_dataset
from tests.data.small_set import annotation, encoded, jpeg

SIZE = 48
SPLITS = {"train": ["a", "b", "c"], "val": ["v", "w"]}
SETTINGS: dict[str, Any] = {
    "size": SIZE,
    "train_transform": ssd_train_transform,
    "eval_transform": ssd_eval_transform,
    "num_workers": 0,
    "batch_size": 1,
}


def picture(number: int) -> bytes:
    return encoded(Image.new("RGB", (SIZE, SIZE), (60 * number, 100, 50)), "JPEG")


def write_voc(root: Path) -> dict[str, Any]:
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / part).mkdir(parents=True)
    size = f"<size><width>{SIZE}</width><height>{SIZE}</height></size>"
    for split, names in SPLITS.items():
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names))
        for number, name in enumerate(names):
            (root / f"JPEGImages/{name}.jpg").write_bytes(picture(number))
            xml = annotation((5, 5, 30 + number, 40), "dog" if number else "cat", size=size)
            (root / f"Annotations/{name}.xml").write_text(xml.replace("</", "\n</"))
    return {"train_splits": ["train"], "val_splits": ["val"], "classes": None}


def write_coco(root: Path) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for split, names in SPLITS.items():
        (root / split).mkdir(parents=True)
        images = [
            {"id": i, "file_name": f"{n}.jpg", "width": SIZE, "height": SIZE} for i, n in enumerate(names, 1)
        ]
        objects = [
            {"id": i, "image_id": i, "category_id": 3 + (i > 1), "bbox": [5, 5, 20 + i, 20], "iscrowd": 0}
            for i in range(1, len(names) + 1)
        ]
        categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]
        document = {"images": images, "annotations": objects, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(document, indent=0))
        for number, name in enumerate(names):
            (root / split / f"{name}.jpg").write_bytes(picture(number))
        options |= {f"{split}_images": split, f"{split}_annotations": f"{split}.json"}
    return options


def write_yolo(root: Path) -> dict[str, Any]:
    for split, names in SPLITS.items():
        for part in ("images", "labels"):
            (root / part / split).mkdir(parents=True)
        for number, name in enumerate(names):
            (root / f"images/{split}/{name}.jpg").write_bytes(picture(number))
            (root / f"labels/{split}/{name}.txt").write_text(
                f"{int(number > 0)} 0.5 0.5 0.4 0.{4 + number}\n"
            )
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\nnc: 2\n")
    return {}


def without_lists(write: Callable[[Path], dict[str, Any]], kind: str) -> Callable[[Path], dict[str, Any]]:
    """The same images, of which no list says what they are for."""

    def write_one(root: Path) -> dict[str, Any]:
        options = write(root)
        if kind == "voc":
            shutil.rmtree(root / "ImageSets")
        elif kind == "yolo":
            (root / "data.yaml").write_text("names: [cat, dog]\nnc: 2\n")
        else:
            shutil.rmtree(root / "val")
            (root / "val.json").unlink()
            options = {"train_images": "train", "train_annotations": "train.json"}
        return options

    return write_one


FORMATS: dict[str, tuple[Callable[[Path], dict[str, Any]], Callable[..., DetectionDataModule]]] = {
    "voc": (write_voc, VOCDataModule),
    "coco": (write_coco, COCODataModule),
    "yolo": (write_yolo, YOLODataModule),
}
WITHOUT_LISTS: dict[str, tuple[Callable[[Path], dict[str, Any]], Callable[..., DetectionDataModule]]] = {
    "voc alone": (without_lists(write_voc, "voc"), VOCDataModule),
    "coco alone": (without_lists(write_coco, "coco"), COCODataModule),
    "yolo alone": (without_lists(write_yolo, "yolo"), YOLODataModule),
}
# What takes the place of a word or a number.
ODD = [
    "",
    "0",
    "1",
    "2",
    "-1",
    "7.5",
    "48",
    "60",
    "1e9",
    "nan",
    "1e999",
    "null",
    "true",
    "cat",
    "Cat",
    "dgo",
    "é",
]
PICTURES = {
    "empty": b"",
    "text": b"no image",
    "half": jpeg()[: len(jpeg()) // 2],
    "larger": jpeg((SIZE + 20, SIZE)),
    "smaller": jpeg((20, 24)),
    "grey": encoded(Image.new("L", (SIZE, SIZE)), "PNG"),
    "deep": encoded(Image.new("I;16", (SIZE, SIZE), 40_000), "PNG"),
    "floats": encoded(Image.new("F", (SIZE, SIZE)), "TIFF"),
}


@contextmanager
def mutated(draw: Callable[..., Any], kind: str) -> Iterator[DetectionDataModule]:
    """A set to which a few things happened, served as its data module serves it."""
    write, module = (FORMATS | WITHOUT_LISTS)[kind]
    root = Path(tempfile.mkdtemp())
    try:
        options = write(root)
        for _ in range(draw(st.integers(0, 2))):
            path = draw(st.sampled_from(sorted(path for path in root.rglob("*") if path.is_file())))
            action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "bytes"]))
            content = path.read_bytes()
            if action == "remove":
                path.unlink()
            elif path.suffix == ".jpg":
                path.write_bytes(PICTURES[draw(st.sampled_from(sorted(PICTURES)))])
            elif action == "repeat":
                path.write_bytes(content + b"\n" + content.splitlines()[-1] if content else b"")
            elif action == "bytes":
                at = draw(st.integers(0, len(content)))
                path.write_bytes(content[:at] + draw(st.binary(max_size=2)) + content[at + 1 :])
            else:
                words = list(re.finditer(rb"[\w.]+", content))
                if words:
                    word = draw(st.sampled_from(words))
                    odd = draw(st.sampled_from(ODD)).encode()
                    path.write_bytes(content[: word.start()] + odd + content[word.end() :])
        options["classes"] = draw(
            st.sampled_from([None, None, None, ["cat", "dog"], ["dog"], ["dgo", "cat"]])
        )
        options["other_classes"] = draw(st.sampled_from(["error", "skip"]))
        yield module(root=str(root), **SETTINGS, **options)
    finally:
        shutil.rmtree(root)


def check(data: Any) -> str:
    """The first error of the check; empty if there is none."""
    try:
        findings = inspect_dataset(data, data.root, workers=1).findings
    except (ValueError, OSError) as error:
        return str(error)
    return next((finding.sentence for finding in findings if finding.severity == "error"), "")


def train(data: DetectionDataModule) -> str:
    """What one epoch over every split ends with; empty if nothing is wrong."""
    try:
        data.setup()
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            for _ in loader:
                pass
    except (ValueError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_check_reports_an_error_where_training_ends(kind: str, data: st.DataObject) -> None:
    with mutated(data.draw, kind) as module:
        reported, ended = check(module), train(module)
        assert bool(reported) == bool(ended), f"check: {reported}\ntraining: {ended}"


@pytest.mark.parametrize("kind", WITHOUT_LISTS)
@given(data=st.data())
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_they_agree_on_sets_without_lists(kind: str, data: st.DataObject) -> None:
    with mutated(data.draw, kind) as module:
        reported, ended = check(module), train(module)
        assert bool(reported) == bool(ended), f"check: {reported}\ntraining: {ended}"


@pytest.mark.parametrize("kind", FORMATS | WITHOUT_LISTS)
def test_the_sets_are_clean_before_anything_happens(kind: str, tmp_path: Path) -> None:
    write, module = (FORMATS | WITHOUT_LISTS)[kind]
    data = module(root=str(tmp_path), **SETTINGS, **write(tmp_path))
    assert (check(data), train(data)) == ("", "")
