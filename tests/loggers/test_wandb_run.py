"""What Weights & Biases records of real trainings, read back from the files of offline runs."""

import json
import math
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from detection.data.shapes import SHAPE_CLASSES
from detection.loggers.tracker import closing_trackers
from detection.loggers.wandb import WandbRun
from tests.warm_python import warm_python

Record: Any = vars(wandb_internal_pb2)["Record"]  # made by protobuf at run time
ROOT = Path(__file__).parents[2]
SMALL = (
    "experiment=quickstart",
    "logger=[csv,wandb]",
    "data.num_train=8",
    "data.num_val=6",
    "data.num_test=4",
    "data.batch_size_per_device=4",
    "data.num_workers=0",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "trainer.enable_model_summary=false",
    "~callbacks.predictions",
    "callbacks.wandb.every_n_epochs=1",
    "callbacks.wandb.num_images=3",
    "callbacks.wandb.threshold=0.02",
)


class OfflineRun:
    """The records of one folder ``offline-run-*``."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("*.wandb")
        self.folder = folder
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.exit_codes: list[int] = []
        self.artifacts: list[Any] = []
        self.step_metrics: dict[str, str] = {}
        for data in _records(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= _items(record.run.config.update)
            elif kind == "config":
                self.config |= _items(record.config.update)
            elif kind == "history":
                self.history.append(_items(record.history.item))
            elif kind == "metric":
                self.step_metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "exit":
                self.exit_codes.append(record.exit.exit_code)

    def values(self, name: str) -> list[Any]:
        return [row[name] for row in self.history if name in row]

    def file(self, path: str) -> Any:
        return json.loads((self.folder / "files" / path).read_text())


def offline_runs(run_dir: Path) -> list[OfflineRun]:
    return [OfflineRun(folder) for folder in sorted((run_dir / "wandb").glob("*run-*"))]


def _records(data: bytes) -> Iterator[bytes]:
    """A ``.wandb`` file is a LevelDB log: blocks of 32 KiB hold chunks, one or several to a record."""
    assert data[:4] == b":W&B"
    block, header = 2**15, struct.Struct("<IHB")  # checksum, length, type
    full, last = 1, 4
    at, parts = 7, []
    while at < len(data):
        left = block - at % block
        if left < header.size:  # padding
            at += left
            continue
        _, length, kind = header.unpack_from(data, at)
        at += header.size
        parts.append(data[at : at + length])
        at += length
        if kind in (full, last):
            yield b"".join(parts)
            parts = []


def _items(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        inner = values
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = json.loads(item.value_json)
    return values


def clean_environment(home: Path) -> dict[str, str]:
    """No account, no settings, nobody to ask."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**kept, "HOME": str(home), "NETRC": str(home / ".netrc"), "OMP_NUM_THREADS": "1"}


def train(tmp: Path, *arguments: str) -> str:
    command = [*warm_python(), "train.py", *arguments, *SMALL, f"data.root={tmp}/data"]
    result = subprocess.run(
        command, cwd=ROOT, env=clean_environment(tmp / "home"), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two jobs, the first in one process and the second in two, and what they printed."""
    tmp = tmp_path_factory.mktemp("sweep")
    folder = tmp / "sweep_9"
    overrides = ("trainer=cpu,ddp_cpu", f"hydra.sweep.dir={folder}", "logger.wandb.tags=[baseline,small]")
    return folder, train(tmp, "-m", *overrides)


@pytest.fixture(scope="module")
def recorded(sweep: tuple[Path, str]) -> OfflineRun:
    (run,) = offline_runs(sweep[0] / "0")
    return run


@pytest.mark.slow
def test_each_job_of_a_sweep_is_a_run_of_one_group(sweep: tuple[Path, str]) -> None:
    folder, printed = sweep
    runs = [run for job in ("0", "1") for run in offline_runs(folder / job)]
    assert len({run.run.run_id for run in runs}) == len(runs) == 2
    for job, run in enumerate(runs):
        assert run.run.run_id == (folder / str(job) / "wandb/run_id").read_text()
        assert run.run.run_group == "sweep_9"
        assert run.run.display_name.startswith("quickstart data.num_train=8 ")
        assert run.exit_codes == [0]
        assert printed.count(f"Upload the run with: wandb sync {run.folder}\n") == 1
    assert printed.count("wandb sync") == 2


def test_the_run_says_what_was_trained(recorded: OfflineRun) -> None:
    assert (recorded.run.project, recorded.run.job_type) == ("detection", "train")
    assert list(recorded.run.tags) == ["baseline", "small"]
    assert recorded.config["data"]["num_train"] == 8
    assert recorded.config["trainer"]["devices"] == 1
    assert recorded.config["model"]["network"]["size"] == 128


def test_figures_over_steps(recorded: OfflineRun) -> None:
    assert recorded.step_metrics["*"] == "trainer/global_step"
    for name in ("train/loss", "train/loss_cls", "train/loss_box", "lr-AdamW"):
        assert len(recorded.values(name)) == 2, name
    steps = [row["trainer/global_step"] for row in recorded.history if "train/loss" in row]
    assert steps == [0, 1]
    assert {"epoch", "val/map", "val/loss"} <= set(next(row for row in recorded.history if "val/map" in row))
    for stage in ("val", "test"):
        for name in SHAPE_CLASSES:
            assert len(recorded.values(f"{stage}/ap/{name}")) == 1


def test_aps_in_a_table(recorded: OfflineRun) -> None:
    (table,) = recorded.values("test/ap_by_class")
    written = recorded.file(table["path"])
    assert written["columns"] == ["class", "AP"]
    assert [name for name, _ in written["data"]] == sorted(SHAPE_CLASSES)
    for name, ap in written["data"]:
        (scalar,) = recorded.values(f"test/ap/{name}")
        assert ap == (None if math.isnan(scalar) else pytest.approx(scalar))  # no such object in four images


@pytest.mark.parametrize("stage", ["val", "test"])
def test_images_with_boxes(recorded: OfflineRun, stage: str) -> None:
    (images,) = recorded.values(f"{stage}/predictions")
    assert images["count"] == 3
    assert len(images["captions"]) == 3
    for path in images["filenames"]:
        assert (recorded.folder / "files" / path).read_bytes()[1:4] == b"PNG"
    found = 0
    for overlays in images["all_boxes"]:
        truth = recorded.file(overlays["ground_truth"]["path"])
        predictions = recorded.file(overlays["predictions"]["path"])
        assert truth["class_labels"] == {str(i): name for i, name in enumerate(sorted(SHAPE_CLASSES))}
        assert truth["box_data"]
        for box in truth["box_data"] + predictions["box_data"]:
            at = box["position"]
            assert 0 <= at["minX"] < at["maxX"] <= 1
            assert 0 <= at["minY"] < at["maxY"] <= 1
            assert box["box_caption"].startswith(truth["class_labels"][str(box["class_id"])])
        scores = [box["scores"]["score"] for box in predictions["box_data"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0.02 <= score <= 1 for score in scores)
        found += len(scores)
    assert found > 0


def test_two_processes_make_one_run(sweep: tuple[Path, str]) -> None:
    (run,) = offline_runs(sweep[0] / "1")
    assert run.config["trainer"]["devices"] == 2
    for name in ("train/loss", "val/map", "test/map"):
        assert len(run.values(name)) == 1, name


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.mark.usefixtures("_offline")
def test_a_second_start_in_a_folder_continues_its_run(tmp_path: Path) -> None:
    for step in (1, 2):
        logger = WandbRun(str(tmp_path), project="detection")
        with closing_trackers([logger], str(tmp_path)):
            logger.log_metrics({"train/loss": 1 / step}, step=step)
    wandb.teardown()  # waits until all is written
    first, second = offline_runs(tmp_path)
    assert first.run.run_id == second.run.run_id
    assert [run.values("train/loss") for run in (first, second)] == [[1.0], [0.5]]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_a_run_that_fails_is_marked_as_failed(tmp_path: Path, error: type[BaseException]) -> None:
    logger = WandbRun(str(tmp_path), project="detection")
    logger.log_metrics({"train/loss": 1.0}, step=1)
    with pytest.raises(error), closing_trackers([logger], str(tmp_path)):
        raise error
    assert wandb.run is None
    wandb.teardown()  # waits until all is written
    (run,) = offline_runs(tmp_path)
    assert run.exit_codes == [1]
