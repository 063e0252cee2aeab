"""The trainings that compare run, at a small size."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.training import ablation, against_torchvision

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
