"""The trainings that compare run, at a small size."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.training import ablation, against_torchvision, speed

SMALL = (
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.num_train=8",
    "data.num_val=4",
    "data.num_test=1",
    "data.batch_size=4",
    "data.num_workers=0",
)


def results(folder: Path, name: str) -> list[dict[str, float | str]]:
    [path] = (folder / "runs" / name).iterdir()
    runs: list[dict[str, float | str]] = json.loads(path.read_text())["runs"]
    return runs


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_both_detectors_train_on_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: str
) -> None:
    monkeypatch.chdir(tmp_path)
    against_torchvision.main([f"experiment={experiment}", f"data.root={tmp_path}/data", *SMALL])
    rows = results(tmp_path, "against_torchvision")
    assert [row["run"] for row in rows] == ["ours", "torchvision"]
    for row in rows:
        assert 0 <= float(row["map_07"]) <= 1
        assert float(row["images_per_second"]) > 0


def test_chosen_parts_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["experiment=quickstart", f"data.root={tmp_path}/data", *SMALL, "only=no_crop,ema", "seeds=3"]
    ablation.main(words)
    assert [(row["run"], row["seed"]) for row in results(tmp_path, "ablation")] == [
        ("no_crop", 3),
        ("ema", 3),
    ]


def test_both_detectors_are_timed_on_the_same_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (
        "--device",
        "cpu",
        "--batch",
        "2",
        "--warmup",
        "2",
        "--steps",
        "1",
        "--matmul",
        "256",
        "--no-compile",
    )
    speed.main([*small, "--experiments", "quickstart"])
    [path] = (tmp_path / "runs/speed").iterdir()
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 2 * 3 * 2  # precisions, ways, training and inference
    for row in rows:
        assert row["images_per_second"] > 0
        assert (row["way"] == "torchvision") <= (row["ratio"] == 1)
        assert (row["work"] == "inference") == (row["of_matmul"] is None)
    assert "ours, channels last" in capsys.readouterr().out
