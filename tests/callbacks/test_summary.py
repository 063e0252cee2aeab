"""What a run leaves behind."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from detection.callbacks.summary import RunSummary, _few_objects, best_checkpoint, final_metrics
from detection.data.shapes import write_shapes
from detection.data.sources import ShapesDataModule
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.data.voc import VOCDetection

Run = Callable[..., pl.Trainer]


def test_final_figures_as_valid_json(run: Run, tmp_path: Path) -> None:
    run(RunSummary(str(tmp_path)), epochs=0)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert metrics == {
        "test/map": 1,
        "test/map_07": 1,
        "test/map_area": 1,
        "test/ap/cat": 1,
        "test/ap/dog": 1,
        "test/ap/owl": None,  # no owl to find
        "test/loss": 1,
    }


def test_table_of_classes(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(RunSummary(str(tmp_path)), epochs=0)
    printed = capsys.readouterr().out
    for name in ("cat", "dog", "owl", "VOC07", "VOC10+"):
        assert name in printed
    assert printed.count("1.0000") == 4
    assert re.search(r"│ owl +│ +- │", printed)
    assert "metrics.json" in printed


def test_curves_need_a_csv_logger(run: Run, tmp_path: Path) -> None:
    run(RunSummary(str(tmp_path)), epochs=1, test=False)
    assert not (tmp_path / "curves.png").exists()


def test_curves_of_what_the_csv_logger_kept(run: Run, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    run(RunSummary(str(tmp_path)), epochs=2, test=False, logger=logger)
    assert (tmp_path / "metrics.csv").exists()
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image is not None
    assert image.std() > 5


@pytest.mark.parametrize(("parts", "steps"), [(1, ["2", "5"]), (2, ["1", "3"])])
def test_short_epochs_are_in_the_curves(run: Run, tmp_path: Path, parts: int, steps: list[str]) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    few = {"log_every_n_steps": 10, "accumulate_grad_batches": parts}
    run(RunSummary(str(tmp_path)), epochs=2, test=False, logger=logger, **few)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["step"] for row in rows if row["train/loss"]] == steps


def test_a_run_without_validation_has_no_best_checkpoint(tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path, "best", monitor="val/map")
    trainer = pl.Trainer(accelerator="cpu", callbacks=[best], logger=False)
    assert best_checkpoint(trainer) is None
    best.best_model_path = str(tmp_path / "best.ckpt")
    assert best_checkpoint(trainer) == str(tmp_path / "best.ckpt")


def test_where_no_figure_tells_the_best_the_last_is_tested(tmp_path: Path) -> None:
    best, last = ModelCheckpoint(tmp_path, "best", monitor="val/map"), ModelCheckpoint(tmp_path, "last")
    trainer = pl.Trainer(accelerator="cpu", callbacks=[best, last], logger=False)
    best.best_model_path, last.best_model_path = "best.ckpt", "last.ckpt"
    best.best_model_score = torch.tensor(0.3)
    assert best_checkpoint(trainer) == "best.ckpt"
    best.best_model_score = torch.tensor(-torch.inf)  # what Lightning makes of nan
    assert best_checkpoint(trainer) == "last.ckpt"
    assert math.isnan(final_metrics(trainer)["val/map"])


def test_classes_with_few_objects_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ShapesDataModule(
        root="x", size=64, train_transform=ssd_train_transform, eval_transform=ssd_eval_transform
    )
    root = write_shapes(tmp_path, 0, 0, 6, size=64) / "Shapes"
    dataset = VOCDetection(root, ["test"], classes=["circle", "square", "star"], other_classes="skip")
    counts = dataset.objects_by_class()
    assert sum(counts.values()) == dataset.num_objects(difficult=False)
    assert counts["circle"] == sum(int((dataset.annotation(i)["labels"] == 0).sum()) for i in range(6))
    data.datasets["test"] = dataset
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    for planted, told in (
        ({"cat": 400, "dog": 0, "owl": 30}, ""),
        (
            {"cat": 25, "dog": 0, "owl": 4},
            "Few objects: owl 4, cat 25. Such an AP is a rough guess, give or take 25 points for owl.",
        ),
    ):
        monkeypatch.setattr(dataset, "objects_by_class", lambda planted=planted: planted)
        assert _few_objects(trainer) == told


def test_what_was_tested_is_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ShapesDataModule(
        root="x", size=64, train_transform=ssd_train_transform, eval_transform=ssd_eval_transform
    )
    data.describe_split = lambda split: f"{split} = val, 80 images; no test list"  # type: ignore[method-assign]

    class Attach(pl.Callback):
        def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            trainer.datamodule = data  # type: ignore[attr-defined]

    run(Attach(), RunSummary(str(tmp_path)), epochs=0)
    told = "test = val, 80 images; no test list"
    assert f"Tested on {told}." in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["tested_on"] == told
