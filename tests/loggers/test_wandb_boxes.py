"""What Weights & Biases gets of a detector: boxes and APs."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import wandb

from detection.loggers.tracked_detections import TrackedDetections
from detection.loggers.tracker import closing_trackers
from detection.loggers.wandb import WandbRun
from detection.loggers.wandb_boxes import image_boxes
from detection.types import Detections, Target
from tests.loggers.test_wandb_run import offline_runs

Run = Callable[..., pl.Trainer]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def target() -> Target:
    return Target(
        boxes=torch.tensor([[10.0, 20, 30, 40], [0, 0, 200, 100]]),
        labels=torch.tensor([0, 2]),
        difficult=torch.tensor([False, True]),
        image_id="000001",
        size=(100, 200),
    )


def test_boxes_in_fractions_of_the_image(target: Target) -> None:
    detections = Detections(
        boxes=torch.tensor([[50.0, 25, 100, 75], [20, 10, 40, 90]]),
        scores=torch.tensor([0.875, 0.0625]),
        labels=torch.tensor([1, 0]),
    )
    boxes = image_boxes(detections, target, ["cat", "dog", "owl"], threshold=0.1)
    names = {0: "cat", 1: "dog", 2: "owl"}
    corners = ("minX", "minY", "maxX", "maxY")

    def at(*values: float) -> Any:
        return pytest.approx(dict(zip(corners, values, strict=True)))

    assert boxes["predictions"] == {
        "box_data": [
            {
                "position": at(0.25, 0.25, 0.5, 0.75),
                "class_id": 1,
                "scores": {"score": 0.875},
                "box_caption": "dog 0.88",
            }
        ],
        "class_labels": names,
    }
    assert boxes["ground_truth"] == {
        "box_data": [
            {"position": at(0.05, 0.2, 0.15, 0.4), "class_id": 0, "box_caption": "cat"},
            {"position": at(0, 0, 1, 1), "class_id": 2, "box_caption": "owl (difficult)"},
        ],
        "class_labels": names,
    }
    wandb.Image(torch.zeros(3, 100, 200), boxes=boxes)  # wandb checks the format


def test_nothing_there_and_nothing_found() -> None:
    no_boxes, no_labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    nothing = Detections(boxes=no_boxes, scores=torch.zeros(0), labels=no_labels)
    target = Target(
        boxes=no_boxes, labels=no_labels, difficult=no_labels.bool(), image_id="empty", size=(100, 200)
    )
    boxes = image_boxes(nothing, target, ["cat"], threshold=0.1)
    assert boxes["predictions"]["box_data"] == boxes["ground_truth"]["box_data"] == []
    wandb.Image(torch.zeros(3, 100, 200), boxes=boxes)


def test_a_run_leaves_images_boxes_and_a_table(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = WandbRun(str(tmp_path), project="detection")
    (tmp_path / "metrics.json").write_text("{}")
    assert cv2.imwrite(str(tmp_path / "curves.png"), np.zeros((4, 6, 3), np.uint8))
    with closing_trackers([logger], str(tmp_path)):
        images = TrackedDetections("wandb", num_images=3, every_n_epochs=2, threshold=0.1)
        run(images, epochs=2, logger=logger)
    (files,) = tmp_path.glob("wandb/offline-run-*/files/media")
    assert (files.parent / "metrics.json").read_text() == "{}"
    assert (files.parent / "curves.png").is_file()
    assert [*files.glob("images/report/curves_*.png")]
    assert "WARNING" not in capfd.readouterr().err
    for stage in ("val", "test"):
        (path,) = files.glob(f"images/{stage}/*.png")  # the three are alike, and wandb names files by content
        image = cv2.imread(str(path))
        assert image is not None
        assert image.shape == (48, 64, 3)
    overlays = [json.loads(path.read_text()) for path in files.glob("metadata/boxes2D/test/*.json")]
    captions = {tuple(box["box_caption"] for box in overlay["box_data"]) for overlay in overlays}
    assert captions == {("cat 0.90", "cat 0.20"), ("dog 0.90", "dog 0.20"), ("cat",), ("dog",)}
    (table,) = files.glob("table/test/*.json")
    assert json.loads(table.read_text()) == {
        "columns": ["class", "AP"],
        "data": [["cat", 1.0], ["dog", 1.0], ["owl", None]],  # there is no owl to find
    }


def test_checkpoints_are_kept_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "checkpoints").mkdir()
    for name in ("best", "last"):
        (tmp_path / f"checkpoints/{name}.ckpt").write_text(name)
    logger = WandbRun(str(tmp_path), project="detection", log_model=True)
    with closing_trackers([logger], str(tmp_path)):
        logger.log_metrics({"train/loss": 1.0}, step=1)
    wandb.teardown()  # waits until all is written
    (run,) = offline_runs(tmp_path)
    (identity,) = {artifact.name for artifact in run.artifacts}
    assert identity == f"model-{run.run.run_id}"
    kept = [
        (
            {*artifact.aliases} - {"latest"},
            [(entry.path, Path(entry.local_path).read_text()) for entry in artifact.manifest.contents],
        )
        for artifact in run.artifacts
    ]
    assert kept == [({"last"}, [("model.ckpt", "last")]), ({"best"}, [("model.ckpt", "best")])]


def test_other_loggers_get_nothing(run: Run, tmp_path: Path) -> None:
    run(TrackedDetections(num_images=3, every_n_epochs=1), epochs=1)
    assert not (tmp_path / "wandb").exists()
