"""What MLflow gets of a run, read back by its own client from a real database."""

import builtins
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mlflow
import pytest
import pytorch_lightning as pl
import yaml
from mlflow.entities import Run as Recorded
from mlflow.tracking import MlflowClient
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.predictions import PredictionImages
from detection.callbacks.summary import RunSummary
from detection.loggers.csv_history import CSVHistory
from detection.loggers.mlflow import MLflowRun
from detection.loggers.tracked_detections import TrackedDetections
from detection.loggers.tracker import closing_trackers

Run = Callable[..., pl.Trainer]
SENT = [("test", "image0", "6"), ("test", "image1", "6")] + [
    ("val", image, step) for image in ("image0", "image1") for step in ("3", "6")
]
CONFIG = {"data": {"root": "/x", "size": [300, 300]}, "init_reuse": {"a (b)": "c"}, "seed": 1, "ckpt": None}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for all tests: to make one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/deeper/mlflow.db"


def runs_of(store: str, run_dir: Path) -> list[Recorded]:
    client = MlflowClient(store)
    (experiment,) = client.search_experiments(filter_string="name = 'detection'")
    found = client.search_runs([experiment.experiment_id])
    identity = (run_dir / "mlflow_run_id").read_text()
    return [run for run in found if run.info.run_id == identity]


def test_a_run_is_in_the_store(run: Run, store: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    overrides = ["optimizer.lr=0.1", "logger=mlflow"]
    logger = MLflowRun(folder, store, tags={"kind": "baseline"}, default_name="ssd", overrides=overrides)
    with closing_trackers([logger], folder):
        logger.log_hyperparams(CONFIG)
        images = TrackedDetections("mlflow", num_images=2, every_n_epochs=1)
        mine = (RunSummary(folder), PredictionImages(folder), images)
        run(*mine, epochs=2, logger=[CSVHistory(folder), logger])
    (recorded,) = runs_of(store, tmp_path)

    assert (recorded.info.status, recorded.info.run_name) == ("FINISHED", "ssd optimizer.lr=0.1")
    assert recorded.data.tags["kind"] == "baseline"
    assert recorded.data.params == {
        "data.root": "/x",
        "data.size": "[300, 300]",
        "init_reuse.a _b_": "c",
        "seed": "1",
        "ckpt": "None",
    }
    client, run_id = MlflowClient(store), recorded.info.run_id
    losses = client.get_metric_history(run_id, "train/loss")
    assert [metric.step for metric in losses] == [0, 1, 2, 3, 4, 5]
    assert [metric.value for metric in client.get_metric_history(run_id, "val/ap/cat")] == [1.0, 1.0]
    assert recorded.data.metrics["test/map"] == 1
    assert math.isnan(recorded.data.metrics["test/ap/owl"])  # there is no owl to find

    (tmp_path / "got").mkdir()
    got = Path(client.download_artifacts(run_id, "", str(tmp_path / "got")))
    assert yaml.safe_load((got / "config.yaml").read_text()) == CONFIG
    table = json.loads((got / "test/ap_by_class.json").read_text())
    assert table == {"columns": ["class", "AP"], "data": [["cat", 1.0], ["dog", 1.0], ["owl", None]]}
    for name in ("curves.png", "predictions.png", "metrics.json", "metrics.csv"):
        assert (got / "report" / name).read_bytes() == (tmp_path / name).read_bytes(), name
    # MLflow writes a slash and the separators of the parts in one way or another, by its version.
    sent = [re.split(r"[^\w.]", path.name)[:5] for path in got.glob("images/*.png")]
    assert sorted(sent) == [[stage, "predictions", image, "step", step] for stage, image, step in SENT]
    picture = cv2.imread(str(next(got.glob("images/test*.png"))))
    assert picture is not None
    assert picture.shape == (48, 64, 3)
    assert (picture.max(axis=2).astype(int) - picture.min(axis=2)).max() > 50  # boxes have colours
    assert not (Path.cwd() / "mlruns").exists()


def test_a_second_start_in_a_folder_continues_its_run(store: str, tmp_path: Path) -> None:
    for step, rate in enumerate((0.1, 0.2)):
        logger = MLflowRun(str(tmp_path), store)
        with closing_trackers([logger], str(tmp_path)):
            logger.log_hyperparams({"optimizer": {"lr": rate}, f"new{step}": True})
            logger.log_metrics({"train/loss": 1.0 - step}, step=step)
    (recorded,) = runs_of(store, tmp_path)
    assert recorded.data.params == {"optimizer.lr": "0.1", "new0": "True", "new1": "True"}
    history = MlflowClient(store).get_metric_history(recorded.info.run_id, "train/loss")
    assert [metric.value for metric in history] == [1.0, 0.0]
    text = mlflow.artifacts.load_text(f"{recorded.info.artifact_uri}/config.yaml")
    assert yaml.safe_load(text)["optimizer"]["lr"] == 0.2


def test_a_run_of_another_store_is_left_alone(store: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow_run_id").write_text("0" * 32)
    MLflowRun(str(tmp_path), store).log_metrics({"train/loss": 1.0})
    assert (tmp_path / "mlflow_run_id").read_text() != "0" * 32
    assert len(runs_of(store, tmp_path)) == 1


def test_names_that_mlflow_does_not_take_stay_apart(store: str, tmp_path: Path) -> None:
    names = ["猫", "a+b", "a*b", "person w/", "a//b", "./a", "..", "x" * 300, "x" * 299 + "y"]
    metrics = {f"val/ap/{name}": number / 10 for number, name in enumerate(names)}
    MLflowRun(str(tmp_path), store).log_metrics(metrics, step=1)
    (recorded,) = runs_of(store, tmp_path)
    kept = recorded.data.metrics
    assert sorted(kept.values()) == sorted(metrics.values())
    assert {"val/ap/猫", "val/ap/a_b", "val/ap/a_b_", "val/ap/person w/_", "val/ap/a/_/b"} <= kept.keys()


def test_what_mlflow_does_not_take_costs_nothing_else(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = MLflowRun(str(tmp_path), store)
    with monkeypatch.context() as patched:
        patched.setattr("detection.loggers.mlflow._allowed", lambda key, flags: key)
        logger.log_metrics({"val/ap/a//b": 0.5}, step=1)
    assert "MLflow does not take this (" in capsys.readouterr().out
    logger.log_metrics({"val/map": 0.25}, step=2)
    (recorded,) = runs_of(store, tmp_path)
    assert recorded.data.metrics == {"val/map": 0.25}


def test_images_whose_names_differ_in_other_letters_stay_apart(store: str, tmp_path: Path) -> None:
    logger = MLflowRun(str(tmp_path), store)
    keys = {logger._key(f"val/predictions/set/{name}.jpg", re.ASCII) for name in "猫狗"}
    assert len(keys) == 2
    assert all(key.isascii() for key in keys)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_run_that_fails_is_marked_as_failed(store: str, tmp_path: Path, error: type[BaseException]) -> None:
    logger = MLflowRun(str(tmp_path / "sweep_9/0"), store, sweep_dir=str(tmp_path / "sweep_9"))
    logger.log_metrics({"train/loss": 1.0}, step=1)
    with pytest.raises(error), closing_trackers([logger], str(tmp_path)):
        raise error
    (recorded,) = runs_of(store, tmp_path / "sweep_9/0")
    assert recorded.info.status == "FAILED"
    assert recorded.data.tags["sweep"] == "sweep_9"


def test_a_training_survives_the_loss_of_the_store(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = MLflowRun(str(tmp_path), store)
    logger.log_metrics({"train/loss": 1.0}, step=0)

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("no space left\nand more")

    monkeypatch.setattr(logger._mlflow_client, "log_batch", fail)
    for step in range(3):
        logger.log_metrics({"train/loss": 1.0}, step=step)
    logger.close(0)
    assert capsys.readouterr().out == "MLflow does not record any more (no space left); the run goes on.\n"


def test_a_server_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    logger = MLflowRun(str(tmp_path), "http://127.0.0.1:9")  # nobody listens at the discard port
    with pytest.raises(
        ValueError, match=r"tracking_uri=http://127\.0\.0\.1:9: MLflow cannot record there \("
    ):
        logger.log_hyperparams({"seed": 1})
    with pytest.raises(ValueError, match=r"tracking_uri=nonsense://x: MLflow cannot record there"):
        MLflowRun(str(tmp_path), "nonsense://x")
    assert not (tmp_path / "mlflow_run_id").exists()


def test_other_processes_make_no_run(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = MLflowRun(str(tmp_path), store)
    logger.log_hyperparams({"seed": 1})
    logger.log_metrics({"train/loss": 1.0})
    logger.close(0)
    assert not (tmp_path / "mlflow_run_id").exists()


def test_without_the_package_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name == "mlflow":
            raise ImportError("No module named 'mlflow'")
        return genuine(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"logger=mlflow needs .*: pip install -e '\.\[mlflow\]'"):
        MLflowRun(str(tmp_path))
