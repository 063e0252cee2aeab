"""A checkpoint's path is all that a detector needs, and nothing in it is executed."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from detection.checkpoints.loading import load, load_detector, load_task, read_checkpoint
from detection.prediction.trained import TrainedDetector
from detection.types import Detections

Write = Callable[[Path, str, list[str]], Path]
ROOT = Path(__file__).parents[2]
CLASSES = ["circle", "square", "star"]


@pytest.fixture(scope="module", params=["quickstart", "quickstart_faster_rcnn"])
def checkpoint(
    request: pytest.FixtureRequest, write_checkpoint: Write, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param, CLASSES)


def images(*sizes: tuple[int, int]) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def assert_same(ours: Detections, expected: Detections) -> None:
    torch.testing.assert_close(ours["boxes"], expected["boxes"], atol=1e-3, rtol=0)
    torch.testing.assert_close(ours["scores"], expected["scores"], atol=1e-4, rtol=0)
    assert ours["labels"].equal(expected["labels"])


def test_a_detector_knows_its_classes_and_answers_in_the_pixels_of_each_image(checkpoint: Path) -> None:
    detector = load_detector(checkpoint)
    assert detector.class_names == CLASSES
    sizes = [(90, 200), (300, 150), (64, 64)]
    for found, (height, width) in zip(detector(images(*sizes)), sizes, strict=True):
        assert len(found["boxes"]) > 0
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert found["boxes"][:, 2].max() > width / 2, "boxes were not mapped back"
        assert found["scores"].equal(found["scores"].sort(descending=True).values)


def test_a_batch_gives_what_its_images_give_alone(checkpoint: Path) -> None:
    detector = load_detector(checkpoint)
    batch = images((90, 200), (300, 150), (90, 200))
    for together, image in zip(detector(batch), batch, strict=True):
        assert_same(together, detector([image])[0])


def test_a_network_without_its_training_has_no_batch_norms_and_finds_the_same(checkpoint: Path) -> None:
    batch = images((90, 200), (300, 150))
    before = checkpoint.read_bytes()
    alone, trained = load(checkpoint, "cpu"), load_detector(checkpoint)
    assert isinstance(alone, TrainedDetector)
    norms = [
        sum(isinstance(x, nn.BatchNorm2d) for x in made.task.network.modules()) for made in (alone, trained)
    ]
    assert norms[0] == 0 < norms[1]
    for found, expected in zip(alone(batch), trained(batch), strict=True):
        assert_same(found, expected)
    assert checkpoint.read_bytes() == before


# What takes longer to import than an image to be looked at.
HEAVY = {"pytorch_lightning", "torchmetrics", "albumentations", "scipy", "matplotlib", "jinja2"}
PREDICTS = """
import sys
sys.argv = ["predict", *sys.argv[1:]]
from detection.predict import main
main()
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_predicting_imports_nothing_that_trains(write_checkpoint: Write, tmp_path: Path) -> None:
    ckpt = write_checkpoint(tmp_path, "quickstart", CLASSES)
    Image.fromarray(images((64, 64))[0]).save(tmp_path / "photo.png")
    words = [f"ckpt={ckpt}", f"source={tmp_path / 'photo.png'}", f"output={tmp_path / 'out'}", "device=cpu"]
    command = [sys.executable, "-c", PREDICTS, *words, "threshold=0.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
    assert (tmp_path / "out/images/photo.png").exists()


def test_a_loaded_task_is_what_was_saved(checkpoint: Path) -> None:
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    task = load_task(checkpoint)
    assert not task.training
    for name, value in task.state_dict().items():
        assert value.equal(saved[name]), name


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt: there is no such checkpoint"):
        load_task(tmp_path / "nothing.ckpt")
    with pytest.raises(ValueError, match=r"is no file of this machine: download it first"):
        load_task("https://example.org/best.ckpt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.ckpt cannot be read as a checkpoint"):
        load_task(tmp_path / "bad.ckpt")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder: give a checkpoint, such as checkpoints/best\.ckpt"):
        load_task(tmp_path)


def test_weights_alone_are_not_enough(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="does not describe a detector"):
        load_task(tmp_path / "weights.pth")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_a_pickle_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(_Evil()))
    torch.save({"hyper_parameters": _Evil()}, tmp_path / "zip.ckpt")
    for name in ("raw.ckpt", "zip.ckpt"):
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            load_task(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "call",
    [
        {"_target_": "os.mkdir", "path": "executed"},
        {"_target_": "detection.data.voc.cv2.imwrite", "filename": "executed", "img": [0]},
        {"_target_": "torch.optim.optimizer.torch.save", "obj": 0, "f": "executed"},
        {"_target_": "torch.optim.no.such.thing"},
        {"_target_": "detection.tasks.ssd.partial", "_args_": [{"_target_": "os.mkdir"}]},
    ],
)
def test_a_description_builds_only_parts_of_the_project(
    tmp_path: Path, write_checkpoint: Write, monkeypatch: pytest.MonkeyPatch, call: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_checkpoint(tmp_path, "quickstart", CLASSES).rename(tmp_path / "model.ckpt")
    state = read_checkpoint(path)
    state["hyper_parameters"]["model"]["backbone"]["extra"] = [call]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"model\.ckpt cannot be opened safely: model\.backbone\.extra"):
        load_task(path)
    assert not (tmp_path / "executed").exists()
