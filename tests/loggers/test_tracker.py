"""What trackers of pictures alone show of an image, and the tracker that the documentation adds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from detection.callbacks.predictions import Seen
from detection.drawing.colours import OUTCOME_COLOURS, in_bytes
from detection.loggers.tracked_detections import TrackedDetections
from detection.loggers.tracker import closing_trackers, drawn, guarded
from detection.types import Detections, Target
from tests.pages import names_of


def test_found_and_missed_objects_and_wrong_boxes_are_drawn() -> None:
    image = np.full((200, 400, 3), 60, np.uint8)
    target = Target(
        boxes=torch.tensor([[20.0, 20, 100, 100], [300, 20, 380, 100]]),
        labels=torch.tensor([0, 1]),
        difficult=torch.tensor([False, False]),
        image_id="x",
        size=(200, 400),
    )
    detections = Detections(
        boxes=torch.tensor([[20.0, 20, 100, 100], [150, 80, 250, 180], [0, 0, 50, 50]]),
        scores=torch.tensor([0.9, 0.8, 0.1]),
        labels=torch.tensor([0, 0, 0]),
    )
    picture = drawn(Seen(image, detections, target), ["cat", "dog"], threshold=0.5)
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {
        in_bytes(OUTCOME_COLOURS[kind]) for kind in ("true_positive", "missed", "false_positive")
    } <= colours
    assert tuple(picture[25, 10]) == (60, 60, 60)  # the third is below the threshold
    assert (image == 60).all()


def test_the_documented_tracker_works(run: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    names = names_of("how-to/loggers.md", "class FolderRun")
    folder = tmp_path / "tracked"
    logger = names["FolderRun"](str(folder))
    (tmp_path / "curves.png").write_text("curves")
    with closing_trackers([logger], str(tmp_path)):
        run(TrackedDetections("folder", num_images=1, every_n_epochs=1), epochs=1, logger=logger)
    assert {path.name for path in folder.iterdir()} == {
        *("val_3_0.png", "test_3_0.png", "test_ap_by_class.json", "metrics.csv", "curves.png", "ended"),
    }
    assert json.loads((folder / "test_ap_by_class.json").read_text()) == {"cat": 1, "dog": 1, "owl": None}
    assert (folder / "ended").read_text() == "complete"


def test_a_tracker_that_fails_does_not_stop_the_run_or_the_others(
    run: Callable[..., pl.Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = names_of("how-to/loggers.md", "class FolderRun")["FolderRun"]

    def fail(self: object, *values: object) -> None:
        raise RuntimeError("no space left\nat all")

    methods = ("log_detections", "log_aps", "log_report", "close")
    failing = type("Failing", (documented,), dict.fromkeys(methods, fail) | {"tracker_name": "broken"})
    loggers = [failing(str(tmp_path / "broken")), documented(str(tmp_path / "tracked"))]
    with closing_trackers(loggers, str(tmp_path)):
        run(TrackedDetections(num_images=1, every_n_epochs=1), epochs=1, logger=loggers)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("broken")]
    assert told == ["broken does not take this (RuntimeError: no space left); the run goes on."]
    assert (tmp_path / "tracked/ended").read_text() == "complete"
    assert (tmp_path / "tracked/test_3_0.png").is_file()


def test_a_logger_that_fails_does_not_stop_the_run(
    run: Callable[..., pl.Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(CSVLogger):
        asked = 0

        def log_metrics(self, metrics: object, step: int | None = None) -> None:
            self.asked += 1
            raise ConnectionError("nobody answers")

    failing, other = Failing(str(tmp_path / "failing")), CSVLogger(str(tmp_path), "other", "0")
    run(TrackedDetections(num_images=0), epochs=1, logger=[guarded(failing), guarded(other)])
    told = [line for line in capsys.readouterr().out.splitlines() if "does not take" in line]
    assert told == ["Failing does not take this (ConnectionError: nobody answers); the run goes on."]
    assert failing.asked > 1
    assert (tmp_path / "other/0/metrics.csv").is_file()
