"""What TensorBoard gets of a run, read back from its events."""

import builtins
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from detection.callbacks.predictions import PredictionImages
from detection.callbacks.summary import RunSummary
from detection.loggers.csv_history import CSVHistory
from detection.loggers.tensorboard import TensorBoardRun
from detection.loggers.tracked_detections import TrackedDetections
from detection.loggers.tracker import closing_trackers

Run = Callable[..., pl.Trainer]
CONFIG = {"data": {"root": "/x", "size": [300, 300]}, "seed": 1, "ckpt": None}


def text(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    (value,) = event.tensor_proto.string_val
    return bytes(value).decode()


def pixels(encoded: Any) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(encoded.encoded_image_string)))


def test_a_run_is_in_the_events(run: Run, tmp_path: Path) -> None:
    folder = str(tmp_path)
    logger = TensorBoardRun(folder)
    with closing_trackers([logger], folder):
        logger.log_hyperparams(CONFIG)
        images = TrackedDetections("tensorboard", num_images=2, every_n_epochs=1)
        mine = (RunSummary(folder), PredictionImages(folder), images)
        run(*mine, epochs=2, logger=[CSVHistory(folder), logger])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()

    assert {"train/loss", "val/map", "val/ap/cat", "test/map"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("val/ap/cat")) == 2
    shown = [f"{stage}/predictions/image{number}" for stage in ("val", "test") for number in (0, 1)]
    assert sorted(events.Tags()["images"]) == sorted([*shown, "report/curves", "report/predictions"])
    assert [image.step for image in events.Images(shown[0])] == [3, 6]
    (sent,) = events.Images("test/predictions/image0")
    picture = pixels(sent)
    assert picture.shape == (48, 64, 3)
    assert (picture.max(axis=2).astype(int) - picture.min(axis=2)).max() > 50  # boxes have colours
    (curves,) = events.Images("report/curves")
    drawn = cv2.imread(str(tmp_path / "curves.png"))
    assert drawn is not None
    np.testing.assert_array_equal(pixels(curves), drawn[..., ::-1])

    assert text(events, "test/ap_by_class").splitlines()[2:] == [
        "| cat | 1.0000 |",
        "| dog | 1.0000 |",
        "| owl | - |",  # there is no owl to find
    ]
    assert json.loads(text(events, "report/metrics"))["test/map"] == 1
    assert json.loads(text(events, "configuration")) == CONFIG
    assert OmegaConf.load(tmp_path / "tensorboard/hparams.yaml").data.size == [300, 300]


def test_without_the_package_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name == "tensorboard":
            raise ImportError("No module named 'tensorboard'")
        return genuine(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"logger=tensorboard needs .*: pip install -e '\.\[tensorboard\]'"):
        TensorBoardRun(str(tmp_path))
