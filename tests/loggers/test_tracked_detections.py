"""Which trackers get images and tables, and when."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger

from detection.callbacks.predictions import Seen
from detection.loggers.tracked_detections import TrackedDetections
from detection.loggers.tracker import Tracker, closing_trackers

Run = Callable[..., pl.Trainer]


class Notes(Tracker, CSVLogger):
    """A tracker as somebody may add one: it notes what it gets."""

    tracker_name = "notes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="")
        self.got: list[Any] = []

    def log_detections(
        self, stage: str, seen: Sequence[Seen], class_names: Sequence[str], threshold: float, step: int
    ) -> None:
        self.got.append((stage, [item.target["image_id"] for item in seen], threshold, step))

    def log_aps(self, stage: str, aps: Mapping[str, float | None], step: int) -> None:
        self.got.append((stage, dict(aps), step))

    def log_report(self, files: Sequence[Path]) -> None:
        self.got.append([path.name for path in files])

    def close(self, exit_code: int) -> None:
        self.got.append(exit_code)


@pytest.mark.parametrize("tracker", ["notes", None])
def test_a_tracker_gets_everything_in_turn(run: Run, tmp_path: Path, tracker: str | None) -> None:
    notes = Notes(tmp_path)
    with closing_trackers([CSVLogger(tmp_path), notes], str(tmp_path)):
        run(TrackedDetections(tracker, num_images=3, every_n_epochs=2, threshold=0.3), logger=notes)
    ids = ["image0", "image1", "image2"]
    assert notes.got == [
        ("val", ids, 0.3, 6),
        ("test", ids, 0.3, 6),
        ("test", {"cat": 1.0, "dog": 1.0, "owl": None}, 6),
        ["metrics.csv"],
        0,
    ]


def test_images_for_one_tracker_do_not_reach_another(run: Run, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    run(TrackedDetections("wandb"), TrackedDetections("mlflow"), epochs=1, logger=notes)
    assert notes.got == []


def test_none_where_none_are_wanted(run: Run, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    run(TrackedDetections("notes", num_images=0), epochs=0, logger=notes)
    assert [len(got) for got in notes.got] == [3]  # the table


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_fails_has_no_report(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    notes = Notes(tmp_path)
    with pytest.raises(error), closing_trackers([notes], str(tmp_path)):
        raise error
    assert notes.got == [1]
