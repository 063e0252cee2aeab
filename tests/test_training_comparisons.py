"""The trainings that compare run, at a small size."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.finetune import Training, fitting, trainings
from benchmarks.gpu.record import Clock, Record
from benchmarks.gpu.work import Work, work_of
from benchmarks.training import against_torchvision, rare_set, speed
from benchmarks.training.run import configuration
from benchmarks.training.step_profile import waits_within
from detection.data.formats.records import ImageRecord, ObjectRecord

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
    words = (f"experiment={experiment}", f"data.root={tmp_path}/data", "model.layer_decay=0.9")
    against_torchvision.main([*words, *SMALL])
    rows = results(tmp_path, "against_torchvision")
    assert [row["run"] for row in rows] == ["ours", "torchvision"]
    for row in rows:
        assert 0 <= float(row["map_07"]) <= 1
        assert float(row["images_per_second"]) > 0


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    [path] = (folder / "runs" / name).iterdir()
    about, *rows = map(json.loads, path.read_text().splitlines())
    assert {"on", "torch", "torchvision", "pytorch-lightning", "date"} <= about.keys()
    return rows


@pytest.mark.slow
def test_the_whole_rehearsal_for_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    gpu.main(["--rehearse"])
    ceilings, *rows = rows_of(tmp_path, "gpu")
    assert min(ceilings["32-true"], ceilings["bf16-mixed"]) > 0
    assert not [row for row in rows if "error" in row]
    for experiment, ways in (("quickstart", 9), ("quickstart_faster_rcnn", 4)):
        assert len({row["way"] for row in rows if row["experiment"] == experiment}) == ways
    for row in rows:
        if row["work"] == "profile":
            kinds = ("convolutions, backward", "batch norm", "optimizer")
            assert min(row["ms_per_image"][kind] for kind in kinds) > 0
        else:
            assert row["images_per_second"] > 0
            assert (row["way"] == "torchvision") <= (row["ratio"] == 1)
            assert (row["work"] == "inference") == ("of_matmul" not in row)
    loader, *trained = rows_of(tmp_path, "gpu_finetune")
    assert loader["images_per_second"] > 0
    assert all(0 <= row["map_07"] <= 1 for row in trained)
    printed = capsys.readouterr().out
    assert "waits of a step, targets by the loader" in printed


def test_each_row_of_a_gpu_is_kept_at_once_and_a_failed_one_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = gpu.options_of(["--rehearse"])
    usual = Work("quickstart", "bf16-mixed", speed.TORCHVISION, 2)
    work = [usual, usual._replace(experiment="no_such_recipe"), usual._replace(way=speed.OURS)]
    monkeypatch.setattr(gpu, "work_of", lambda _: work)
    record = Record("gpu", {"on": "CPU"})
    gpu.measure(options, Clock(5), record)
    ceilings, theirs, _, failed, ours, _ = rows_of(tmp_path, "gpu")
    assert ceilings["bf16-mixed"] > 0
    assert theirs["ratio"] == 1
    assert "no_such_recipe" in failed["error"]
    assert ours["ratio"] == ours["images_per_second"] / theirs["images_per_second"]
    gpu.measure(options, Clock(0), record)
    assert len(rows_of(tmp_path, "gpu")) == 7  # the matrix products again
    assert "3 more did not fit" in capsys.readouterr().out


def test_the_work_for_a_gpu_begins_with_the_target() -> None:
    work = work_of(gpu.options_of([]))
    assert len(set(work)) == len(work)
    first = "ssd_300_vgg16_atrous_voc"
    assert {one.experiment for one in work[:6]} == {first}
    assert [one.way.name for one in work[:3]] == ["torchvision", speed.OURS.name, speed.ASSIGNED.name]
    for one in work:  # their peer comes before
        peers = [other for other in work if other.way.theirs and other[:2] == one[:2]]
        assert work.index(peers[0]) <= work.index(one)
    on_a_cpu = work_of(gpu.options_of(["--device", "cpu", "--no-compile", "--batch", "8"]))
    assert not any(one.way.compiled for one in on_a_cpu)
    assert {one.batch for one in on_a_cpu} == {8, 32}


def test_a_training_is_made_as_long_as_fits() -> None:
    training = Training("x", [], 100, None)
    assert fitting(training, images=1000, per_second=1000, left=1000) == 100
    assert fitting(training, images=1000, per_second=1000, left=75) == 60
    assert fitting(training, images=1000, per_second=1000, left=50) == 0


def test_the_trainings_for_a_gpu_are_configured_right() -> None:
    words = argparse.Namespace(rehearse=False, coco="frozen.pb", imagenet="mobilenet.pth", workers=2)
    coco, *scratch = trainings(words)
    assert [one.epochs for one in scratch] == [120, 300]
    for one in (coco, scratch[0]):
        overrides = [word.replace("trainer=gpu", "trainer=cpu") for word in one.overrides]
        assert overrides != one.overrides
        config = configuration([*overrides, "data.root=/nowhere"], seed=0)
        assert (config.get("init_from") is None) == (one.replace is None)


def test_waits_count_within_steps_only() -> None:
    def event(name: str, start: int, end: int) -> SimpleNamespace:
        return SimpleNamespace(name=name, time_range=SimpleNamespace(start=start, end=end))

    events = [
        event("cudaDeviceSynchronize", 0, 1),
        event("step", 2, 10),
        event("cudaStreamSynchronize", 3, 4),
        event("cudaLaunchKernel", 5, 6),
        event("step", 12, 20),
        event("cudaMemcpy", 13, 14),
        event("cudaDeviceSynchronize", 21, 22),
    ]
    assert waits_within(events, "step") == 2


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


def test_a_set_has_rare_classes_in_as_many_images_as_asked() -> None:
    def record(number: int, *names: str) -> ImageRecord:
        objects = tuple(ObjectRecord(name, (0, 0, 9, 9), False) for name in names)
        return ImageRecord(f"{number}", f"{number}.jpg", (10, 10), objects, f"{number}.xml")

    shown = [("cat",)] * 10 + [("cow", "cow"), ("bus",), ("cow", "bus"), ("cow", "cat"), ("bus", "cat")]
    records = [record(number, *names) for number, names in enumerate(shown)]
    assert rare_set.rarest(records, 2) == ["bus", "cow"]
    chosen = rare_set.thinned(records, ["bus", "cow"], of_each=2, total=8)
    names = [{item.name for item in each.objects} for each in chosen]
    assert [sum(name in of_image for of_image in names) for name in ("bus", "cow")] == [2, 2]
    assert len({each.image_id for each in chosen}) == len(chosen) == 8
    with pytest.raises(ValueError, match=r"too few images: .'bus': 1, 'cow': 1. are still"):
        rare_set.thinned(records[:13], ["bus", "cow"], of_each=3, total=4)


def test_targets_are_judged_by_the_fastest_way() -> None:
    def row(way: str, precision: str, speed: float, waits: int | None) -> dict[str, object]:
        about = {"experiment": "x", "work": "training", "way": way, "precision": precision, "batch": 32}
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
    assert [goal.met for goal in gpu.goals(rows[:2], "x")] == [False] * 4  # a run that was cut
