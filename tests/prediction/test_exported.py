"""Exported files, in the command and by the reader: they find what the checkpoint finds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import pytest
import torch

import detection
from detection.checkpoints.loading import load_detector
from detection.data.image_files import decode_image
from detection.export import export
from detection.exporting.build import decisions
from detection.exporting.comparison import Thresholds, compare
from detection.exporting.runners import detections_of
from detection.predict import predict
from detection.prediction.detector import Detector
from detection.prediction.exported import ExportedDetector
from detection.prediction.trained import TrainedDetector
from detection.reader import Reader
from detection.settings import Export, Predict, Product
from detection.tasks.base import DetectionTask
from detection.types import Detections
from tests.odd_pictures import PLAIN, noise, write_odd_pictures

KINDS = {".onnx": "onnx", ".xml": "openvino"}
SAVED: tuple[Product, ...] = ("images", "json", "voc", "coco")


class Exported(NamedTuple):
    checkpoint: Path
    file: Path
    trained: TrainedDetector[DetectionTask]


@pytest.fixture(scope="module")
def checkpoint(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ssd"), "quickstart", ["circle", "square", "star"])


@pytest.fixture(scope="module", params=KINDS)
def exported(checkpoint: Path, request: pytest.FixtureRequest) -> Exported:
    path = checkpoint.with_suffix(request.param)
    export(Export(str(checkpoint), KINDS[request.param], num_images=1), None)  # type: ignore[arg-type]
    return Exported(checkpoint, path, load_detector(checkpoint))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of many sizes and kinds."""
    folder = tmp_path_factory.mktemp("photos")
    write_odd_pictures(folder)
    noise(np.random.default_rng(0), 2000, 8000).save(folder / "large.jpg")
    return folder


def tolerable(ours: Detections, theirs: Detections, trained: TrainedDetector[DetectionTask]) -> bool:
    decide = decisions(trained.task)
    limits = Thresholds(decide["score_threshold"], decide["nms_threshold"], decide["max_detections"])
    return compare(ours, theirs, limits).tolerable


def test_it_is_a_detector_like_that_of_a_checkpoint(exported: Exported) -> None:
    opened = detection.load(exported.file)
    assert isinstance(opened, ExportedDetector)
    assert isinstance(opened, Detector)
    assert isinstance(exported.trained, Detector)
    assert opened.class_names == exported.trained.class_names


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("", "does not name its classes"),
        ("null", "does not name its classes"),
        ("5", "does not name its classes"),
        ("[]", "does not name its classes"),
        ('[["a"], {"b": 1}]', "does not name its classes"),
        ('["cat", "cat"]', "classes must be distinct names"),
        ('["\\u001b]0;x", "b", "c"]', "cannot be the name of a class"),
    ],
)
def test_a_file_that_does_not_name_its_classes_is_refused(
    checkpoint: Path, exported: Exported, tmp_path: Path, names: str, told: str
) -> None:
    changed = with_names(exported.file, tmp_path / "changed.onnx", names)
    with pytest.raises(ValueError, match=rf"changed\.onnx.*{told}"):
        detection.load(changed)


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_fewer_names_than_classes_are_told_where_one_is_found(exported: Exported, tmp_path: Path) -> None:
    opened = detection.load(with_names(exported.file, tmp_path / "changed.onnx", '["cat"]'))
    with pytest.raises(ValueError, match=r"finds objects of class 2 and names 1 class: export it again"):
        opened.predict(noise(np.random.default_rng(0), 90, 120), threshold=0.01)


def with_names(file: Path, changed: Path, names: str) -> Path:
    """A copy of an ONNX file that says something else of its classes."""
    model = onnx.load(file)
    for entry in model.metadata_props:
        if entry.key == "class_names":
            entry.value = names
    onnx.save(model, changed)
    return changed


def test_the_command_takes_it_as_it_takes_the_checkpoint(
    exported: Exported, photos: Path, tmp_path: Path
) -> None:
    # Far above what rounding moves: no detection is borderline.
    found: list[dict[str, Any]] = []
    for number, path in enumerate((exported.checkpoint, exported.file)):
        output = tmp_path / str(number)
        predict(Predict(str(path), str(photos), str(output), threshold=0.36, save=SAVED, device="cpu"))
        found.append(json.loads((output / "detections.json").read_text()))
    ours, theirs = found
    assert theirs["checkpoint"] == str(exported.file)
    assert theirs["classes"] == ours["classes"]
    for expected, row in zip(ours["images"], theirs["images"], strict=True):
        assert [row[key] for key in ("file", "width", "height")] == [
            expected[key] for key in ("file", "width", "height")
        ]
        scores = [[item["score"] for item in found["detections"]] for found in (expected, row)]
        np.testing.assert_allclose(scores[1], scores[0], atol=1e-3)
    assert sum(len(row["detections"]) for row in theirs["images"]) > 10
    files = [sorted(p.relative_to(tmp_path / n).as_posix() for p in (tmp_path / n).rglob("*")) for n in "01"]
    assert files[0] == files[1]
    assert {"coco/annotations/instances_train2017.json", "images/large.jpg"} <= set(files[1])
    assert any(name.startswith("voc/") and name.endswith("deep.xml") for name in files[1])


def test_the_reader_finds_the_same_in_images_of_all_kinds(exported: Exported, photos: Path) -> None:
    reader = Reader(exported.file)
    for path in sorted(photos.iterdir()):
        image = decode_image(path, upright=True)
        boxes, scores, labels = (torch.from_numpy(found) for found in reader(image))
        (ours,) = exported.trained([image])
        np.testing.assert_allclose(scores[0], ours["scores"][0], atol=1e-3)
        theirs = Detections(boxes=boxes, scores=scores, labels=labels)
        # The allowed 0.1 pixels are those of the network's input.
        scale = torch.tensor([128 / image.shape[1], 128 / image.shape[0]] * 2)
        ours["boxes"], theirs["boxes"] = ours["boxes"] * scale, boxes * scale
        assert path.name in PLAIN or tolerable(ours, theirs, exported.trained), path.name


def test_opencv_reads_plain_photos_as_predict_does(photos: Path) -> None:
    for name in ("grey.jpg", "grey too.png", "turned 6.jpg", "turned.png", "large.jpg", "dot.png"):
        theirs = cv2.imread(str(photos / name), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(theirs, decode_image(photos / name, upright=True), name)


def test_three_images_at_once_give_what_each_gives_alone(exported: Exported, photos: Path) -> None:
    reader = Reader(exported.file)
    images = [decode_image(photos / name, upright=True) for name in ("grey.jpg", "plain.png", "deep.png")]
    pixels = np.stack([exported.trained.prepare(image).image.numpy() for image in images])
    together = reader.run(pixels)
    for row in range(3):
        alone, among = detections_of(reader.run(pixels[row : row + 1]), 0), detections_of(together, row)
        np.testing.assert_allclose(among["scores"][0], alone["scores"][0], atol=1e-3)
        assert row == 1 or tolerable(alone, among, exported.trained)


@pytest.mark.parametrize("name", ["best.onnx", "best.xml", "best.pt2"])
def test_what_needs_a_checkpoint_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("exported")
    with pytest.raises(
        ValueError, match=rf"{name} is an exported file: give the checkpoint .* ckpt=best\.ckpt"
    ):
        load_detector(tmp_path / name)
