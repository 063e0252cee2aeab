"""The benchmark of one's own model and data, from the real command line."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from detection.benchmark import benchmark
from detection.benchmarking.measure import measure
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent


SMALL = (
    "experiment=quickstart",
    "trainer=cpu",
    "data.num_train=16",
    "data.num_val=8",
    "data.num_test=1",
    "data.batch_size=4",
    "warmup=1",
    "batches=2",
)


def run(folder: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    places = (f"data.root={folder / 'shapes'}", f"hydra.run.dir={folder}")
    return subprocess.run(
        [*warm_python(), "-m", "detection.benchmark", *SMALL, *places, *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder)},
    )


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_it_measures_each_part_and_says_on_what(tmp_path: Path, experiment: str) -> None:
    result = run(tmp_path, f"experiment={experiment}", "data.num_workers=1")
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads((tmp_path / "benchmark.json").read_text())
    assert found["torch"] == torch.__version__
    rows = {row["name"]: row for row in found["measurements"]}
    assert list(rows) == ["data loading", "training", "evaluation", "inference"]
    for name, row in rows.items():
        assert name in result.stdout
        assert row["batch_size"] == 4, name
        assert row["images_per_second"] == pytest.approx(4000 / row["milliseconds"], rel=1e-6), name
        assert row["host_memory"] > 100, name
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer=ddp_cpu", "measures one device: add trainer.devices=1"),
        ("warmup=0", "warmup=0: give a whole number of at least 1"),
        ("warmup=9", "evaluation has"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, override: str, message: str) -> None:
    places = (f"data.root={tmp_path / 'shapes'}", f"run_dir={tmp_path}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("benchmark", overrides=[*SMALL, *places, override])
    with pytest.raises(SystemExit, match=message):
        benchmark(cfg)


def test_the_clock_counts_the_calls_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    durations, now = iter([0.2, 0.2, 0.01, 0.03, 0.05]), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work() -> None:
        now[0] += next(durations)

    row = measure("x", work, 2, 3, lambda: 6, torch.device("cpu"))
    assert row.milliseconds == pytest.approx(30)
    assert row.images_per_second == pytest.approx(200)
    assert row.batch_size == 6
    assert row.device_memory is None
