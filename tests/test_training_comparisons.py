"""The trainings that compare run, at a small size."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import against_torchvision, gpu, speed

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


@pytest.mark.slow
def test_one_command_measures_all_that_wants_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--device", "cpu", "--batch", "2", "--warmup", "2", "--steps", "1", "--matmul", "256"]
    both = ["quickstart", "quickstart_faster_rcnn"]
    small += ["--no-compile", "--experiments", *both, "--trained", "quickstart", "--workers", "0"]
    data = ["data.num_train=32", "data.num_val=4", "data.num_test=1"]
    gpu.main([*small, "--epochs", "1", f"data.root={tmp_path}/data", *data])
    [path] = (tmp_path / "runs/gpu").iterdir()
    found = json.loads(path.read_text())
    rows = found["speed"]["rows"]
    ways = {"quickstart": 4 + 3, "quickstart_faster_rcnn": 3 + 3}  # of training and of inference
    for experiment, count in ways.items():
        of_network = [row for row in rows if row["experiment"] == experiment]
        assert len(of_network) == 2 * count  # precisions
    for row in rows:
        assert row["images_per_second"] > 0
        assert (row["way"] == "torchvision") <= (row["ratio"] == 1)
        assert (row["work"] == "inference") == (row["of_matmul"] is None)
    for shares in (found["profile"][experiment] for experiment in both):
        assert min(shares[kind] for kind in ("convolutions, backward", "batch norm", "optimizer")) > 0
    assert found["loader"]["images_per_second"] > 0
    assert 0 <= found["trained"]["map_07"] <= 1
    printed = capsys.readouterr().out
    assert "ours, channels last" in printed
    assert "waits of a step, targets by the loader" in printed


@pytest.mark.parametrize("groups", [1, 4])
def test_backward_takes_as_many_operations_as_forward_for_each_gradient(groups: int) -> None:
    conv = nn.Conv2d(4, 8, 3, groups=groups, bias=False)
    counts = {torch.ops.aten.convolution_backward: speed.convolution_backward_flops}
    for image_needs_gradient in (False, True):
        x = torch.zeros(2, 4, 9, 9, requires_grad=image_needs_gradient)
        with FlopCounterMode(display=False, custom_mapping=counts) as counter:
            conv(x).sum().backward()
        forward = 2 * (2 * 8 * 7 * 7) * (4 // groups * 9)
        assert counter.get_total_flops() == forward * (2 + image_needs_gradient)


def test_targets_are_judged_by_the_fastest_way() -> None:
    def row(way: str, precision: str, speed: float, waits: int | None) -> dict[str, object]:
        about = {"experiment": "x", "work": "training", "way": way, "precision": precision}
        return {**about, "images_per_second": speed, "waits": waits}

    rows = [
        row("torchvision", "32-true", 500, 34),
        row("ours, channels last", "32-true", 900, 1),
        row(speed.ASSIGNED.name, "32-true", 900, 0),
        row(speed.ASSIGNED.name, "bf16-mixed", 9999, 0),
        row("torchvision", "bf16-mixed", 1300, 34),
        row("ours, channels last", "bf16-mixed", 1400, 1),
        row("ours, channels last, compiled", "bf16-mixed", 1600, None),
    ]
    found = gpu.goals(rows, "x")
    assert [goal.found for goal in found] == [1600, 3.2, 1600 / 1300, 0]
    assert [goal.met for goal in found] == [True, True, False, True]
    waiting = [*rows, row(speed.ASSIGNED.name, "bf16-mixed", 1500, 2)]
    assert gpu.goals(waiting, "x")[-1] == gpu.Goal(found[-1].what, 2, 0, 0)
