"""A checkpoint keeps the anchors that it was trained with, at whatever size, and one of 0.1 those of 0.1."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from detection.checkpoints.differences import check_same_network
from detection.checkpoints.init_from import make_task
from detection.checkpoints.loading import load_task, read_checkpoint
from detection.checkpoints.resume import keep_anchors, read_origin
from detection.cli.compose import checked_config, inference_config, model_config
from detection.exporting.build import build_program
from detection.exporting.programs import IN_TORCH
from detection.models.presets import PRESETS
from detection.tasks.base import DetectionTask
from detection.tasks.ssd import SSDTask

CONF = Path(__file__).parent.parent.parent / "conf"
PUBLISHED = list(PRESETS["tiny", 128].anchor_sizes)


def config(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = ["run_dir=/nowhere", "name=test", "experiment=quickstart", *overrides]
        return checked_config(compose("train", overrides=words))


def model_of(settings: dict[str, Any]) -> dict[str, Any]:
    return model_config(settings, ["cat", "dog"], None)


def written(path: Path, *overrides: str, old: bool = False) -> Path:
    """A checkpoint of an untrained network; an old one as 0.1 wrote it, without a word on its anchors."""
    settings = config(*overrides)
    model = model_of(settings)
    task, _ = make_task(model, settings)
    task.describe(model=model, data=inference_config(settings["data"]))
    described = dict(task.hparams)
    if old:
        del described["format"]
        described["model"] = model
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": described}, path)
    return path


def sizes_and_steps(task: DetectionTask) -> tuple[list[float], list[Any]]:
    assert isinstance(task, SSDTask)
    return list(task.network.anchor_sizes), [
        list(step) if isinstance(step, tuple) else step for step in task.network.anchor_steps
    ]


def going_on(checkpoint: Path, *overrides: str) -> tuple[DetectionTask, str]:
    """The task of a run that goes on, as the command makes it."""
    settings = config(*overrides, f"ckpt={checkpoint}")
    origin = read_origin(settings)
    assert origin is not None
    model, told = keep_anchors(model_of(settings), origin)
    check_same_network(read_checkpoint(checkpoint)["hyper_parameters"]["model"], model, checkpoint)
    return make_task(model, settings)[0], told


@pytest.mark.parametrize("size", ["128", "200", "[96,160]"])
def test_the_description_has_the_anchors_in_numbers(tmp_path: Path, size: str) -> None:
    path = written(tmp_path / "new.ckpt", f"data.size={size}")
    network = torch.load(path, weights_only=True)["hyper_parameters"]["model"]["network"]
    task = load_task(path)
    assert (network["anchor_sizes"], network["anchor_steps"]) == sizes_and_steps(task)
    assert (network["anchor_sizes"] == PUBLISHED) == (size == "128")
    network["anchor_sizes"] = [20.0, 40, 60, 80]  # whatever the rule for new ones may become
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["model"]["network"] = network
    torch.save(checkpoint, path)
    again = load_task(path)
    assert sizes_and_steps(again)[0] == [20, 40, 60, 80]
    assert again.hparams["model"]["network"]["anchor_sizes"] == [20, 40, 60, 80]


@pytest.mark.parametrize("size", ["128", "200", "[96,160]"])
def test_a_checkpoint_of_0_1_has_the_anchors_of_0_1(tmp_path: Path, size: str) -> None:
    path = written(tmp_path / "old.ckpt", f"data.size={size}", old=True)
    task = load_task(path)
    assert sizes_and_steps(task) == (PUBLISHED, [8, 16, 32])
    assert isinstance(task, SSDTask)
    # What is exported has them, too.
    height, width = (int(size),) * 2 if size.isdigit() else (96, 160)
    program = build_program(task, IN_TORCH, "uint8").module
    exported: Any = program.network
    assert torch.equal(exported.anchors_over((height, width)), task.network.anchors_over((height, width)))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("size", ["128", "200", "[96,160]"])
def test_a_run_goes_on_with_the_anchors_of_its_checkpoint(tmp_path: Path, size: str, old: bool) -> None:
    checkpoint = written(tmp_path / "run/checkpoints/last.ckpt", f"data.size={size}", old=old)
    task, told = going_on(checkpoint, f"data.size={size}")
    assert sizes_and_steps(task) == sizes_and_steps(load_task(checkpoint))
    assert ("The anchors stay those of the checkpoint" in told) == (old and size != "128")


def test_a_run_does_not_go_on_with_other_anchors_than_asked_for(tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "run/checkpoints/last.ckpt", "data.size=200")
    asked = "+model.network.anchor_sizes=[8,16,30,60]"
    with pytest.raises(ValueError, match=r"leave out model\.network's anchor_sizes; .* use init_from"):
        going_on(checkpoint, "data.size=200", asked)
    asked_before = written(tmp_path / "other/checkpoints/last.ckpt", "data.size=200", asked)
    task, told = going_on(asked_before, "data.size=200", asked)
    assert told == ""
    assert sizes_and_steps(task)[0] == [8, 16, 30, 60]


def test_ratios_are_kept_as_sizes_are(tmp_path: Path) -> None:
    asked = "+model.network.anchor_ratios=[[1,2],[1,3],[1,2]]"
    checkpoint = written(tmp_path / "run/checkpoints/last.ckpt", asked)
    kept = [[1, 2], [1, 3], [1, 2]]
    stay = "The anchors stay those of the checkpoint, {'anchor_ratios': [[1, 2]"
    cases: tuple[tuple[tuple[str, ...], str], ...] = (((), stay), ((asked,), ""))
    for overrides, line in cases:
        task, told = going_on(checkpoint, *overrides)
        assert isinstance(task, SSDTask)
        assert [list(of_map) for of_map in task.network.anchor_ratios] == kept
        assert told.startswith(line)
        assert "anchor_sizes" not in told
    with pytest.raises(ValueError, match=r"leave out model\.network's anchor_ratios; .* use init_from"):
        going_on(checkpoint, "+model.network.anchor_ratios=[[1,2],[1,4],[1,2]]")


def test_a_start_from_other_weights_says_what_becomes_of_the_anchors(tmp_path: Path) -> None:
    source = written(tmp_path / "source.ckpt")
    for overrides, note in (
        (("data.size=128",), None),
        (("data.size=200",), "the anchors are 1.56 times as large as the checkpoint's"),
        (("+model.network.anchor_sizes=[8,16,30,60]",), "the anchors are others than the checkpoint's"),
    ):
        settings = config(f"init_from={source}", *overrides)
        _, report = make_task(model_of(settings), settings)
        assert ("note:" in report) == (note is not None)
        assert note is None or note in report
        assert "ssd(size=128) on Tiny" in report, "without lists of numbers"
