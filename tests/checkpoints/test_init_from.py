"""``init_from``: a new training from the weights of another, with other classes."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from detection.checkpoints.init_from import frozen_noise, make_task
from detection.checkpoints.loading import load_task
from detection.cli.compose import checked_config, inference_config, model_config
from detection.data.shapes import write_shapes
from detection.tasks.base import DetectionTask
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
OLD = ["circle", "square", "star"]
NEW = ["Star ", "kite", "circle"]


def config(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["run_dir=/nowhere", "name=test", *overrides])
    return checked_config(cfg)


def new_task(classes: list[str], *overrides: str) -> tuple[DetectionTask, str]:
    settings = config(*overrides)
    return make_task(model_config(settings, classes, None), settings)


def written(folder: Path, *overrides: str) -> Path:
    """A checkpoint of an untrained network of the classes OLD."""
    settings = config(*overrides)
    torch.manual_seed(0)
    model = model_config(settings, OLD, None)
    task, report = make_task(model, settings)
    assert report == ""
    task.describe(model=model, data=inference_config(settings["data"]))
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, folder / "old.ckpt")
    return folder / "old.ckpt"


@pytest.fixture(scope="module", params=["quickstart", "quickstart_faster_rcnn"])
def experiment(request: pytest.FixtureRequest) -> str:
    return f"experiment={request.param}"


@pytest.fixture(scope="module")
def checkpoint(experiment: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("checkpoint"), experiment, "model.backbone.weights=null")


def test_shared_classes_are_kept_and_others_are_new(checkpoint: Path, experiment: str) -> None:
    task, report = new_task(NEW, experiment, f"init_from={checkpoint}")
    first = report.splitlines()[0].removeprefix(f"Starting from {checkpoint}: ")
    assert first.startswith(("ssd(", "faster_rcnn_fpn("))
    assert "kept: all layers, background and 2 classes: Star  (from star), circle" in report
    assert "re-initialised: 1 class: kite\n" in report
    assert "starts better from it: 'init_reuse={kite: " in report
    old, new = load_task(checkpoint).network.state_dict(), task.network.state_dict()
    predictors = [
        key for key in new if new[key].shape != old[key].shape or "class" in key or "box_pred" in key
    ]
    assert predictors
    for key in new:
        if key not in predictors:
            assert torch.equal(new[key], old[key]), key
    # What an average with the start is made of: wise_ft.
    assert task.started_from <= task.state_dict().keys()
    assert task.started_from == {f"network.{key}" for key in new if key not in predictors}
    key = "class_heads.0.0.weight" if "class_heads.0.0.weight" in new else "roi_head.class_predictor.weight"
    rows, old_rows = (state[key].unflatten(0, (-1, 4)) for state in (new, old))  # three classes each
    assert torch.equal(rows[:, [0, 1, 3]], old_rows[:, [0, 3, 1]])
    assert not torch.equal(rows[:, 2], old_rows[:, 2])
    trained = task.make_optimizer(p for p in task.parameters() if p.requires_grad).param_groups[0]["params"]
    assert any(parameter is task.network.get_parameter(key) for parameter in trained)


def test_a_class_may_start_from_another(checkpoint: Path, experiment: str) -> None:
    _, report = new_task(NEW, experiment, f"init_from={checkpoint}", "init_reuse={kite: square}")
    kept = "all layers, background and 3 classes: Star  (from star), kite (from square), circle"
    assert f"kept: {kept}" in report
    assert "re-initialised" not in report
    with pytest.raises(ValueError, match=r"no old class 'squares'(?s:.*)Did you mean 'square'"):
        new_task(NEW, experiment, f"init_from={checkpoint}", "init_reuse={kite: squares}")


def test_near_names_are_hinted(checkpoint: Path, experiment: str) -> None:
    _, report = new_task(["circles", "other"], experiment, f"init_from={checkpoint}")
    assert "kept: all layers and background, but no class" in report
    assert "circles (for the checkpoint's circle: 'init_reuse={circles: circle}'), other" in report


def test_of_another_network_on_the_same_backbone_the_backbone_is_taken(tmp_path: Path) -> None:
    source = written(tmp_path, "experiment=quickstart")
    task, report = new_task(
        OLD, "experiment=quickstart_faster_rcnn", "model/backbone=tiny", f"init_from={source}"
    )
    assert "kept: the backbone" in report
    assert "re-initialised: all 3 classes" in report
    assert re.search(r"has ssd\(size=128\) on Tiny, the configuration faster", report)
    old = load_task(source).network.backbone.state_dict()
    assert all(torch.equal(value, old[key]) for key, value in task.network.backbone.state_dict().items())
    assert task.started_from == {f"network.backbone.{key}" for key in old}


def test_another_backbone_is_refused_in_a_sentence(tmp_path: Path) -> None:
    source = written(tmp_path, "experiment=quickstart")
    with pytest.raises(ValueError, match="nothing in common") as caught:
        new_task(OLD, "model=ssd", "model/backbone=resnet18", f"init_from={source}", "data.size=300")
    message = str(caught.value)
    assert f"{source} has ssd(size=128) on Tiny" in message
    assert "the configuration ssd(size=300) on ResNet(depth=18, strides=[16, 32])" in message
    assert "give the overrides of its model" in message


def test_the_overrides_that_fit_are_those_that_the_run_was_started_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".hydra").mkdir()
    shutil.move(written(tmp_path, "experiment=quickstart"), run / "checkpoints/best.ckpt")
    typed = ["experiment=quickstart", "data.size=128", "trainer.max_epochs=3", "model/backbone=tiny"]
    (run / ".hydra/overrides.yaml").write_text("".join(f"- {word}\n" for word in typed))
    wanted = "type its overrides: experiment=quickstart data.size=128 model/backbone=tiny, or"
    with pytest.raises(ValueError, match=wanted):
        new_task(OLD, "model=ssd", "model/backbone=resnet18", f"init_from={run}", "data.size=300")


def test_other_anchors_are_noted(tmp_path: Path) -> None:
    source = written(tmp_path, "experiment=quickstart")
    anchors = "+model.network.anchor_sizes=[8,16,30,60]"
    _, report = new_task(OLD, "experiment=quickstart", f"init_from={source}", anchors)
    assert "the anchors are others than the checkpoint's" in report


def test_going_on_with_a_run_wins(tmp_path: Path) -> None:
    _, report = new_task(OLD, "experiment=quickstart", "init_from=nowhere.ckpt", "ckpt=last")
    assert report == "init_from=nowhere.ckpt is not read: ckpt=last brings its own weights."


def test_mistakes_end_in_a_sentence() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt: there is no such checkpoint"):
        new_task(OLD, "experiment=quickstart", "init_from=nowhere.ckpt")
    with pytest.raises(ValueError, match="give init_from too"):
        new_task(OLD, "experiment=quickstart", "init_reuse={a: b}")


# From the command line


def run_train(*overrides: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*warm_python(), "train.py", "trainer=cpu", "data.num_workers=0", *overrides]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False, env=environment
    )


def custom_set(shapes: Path, folder: Path) -> None:
    """Make of generated images a user's own set: only three classes, of which one has another name."""
    devkit = next(shapes.rglob("Annotations")).parent
    shutil.copytree(devkit, folder)
    for path in (folder / "Annotations").glob("*.xml"):
        text = path.read_text()
        for block in re.findall(r"\s*<object>.*?</object>", text, flags=re.DOTALL):
            name = re.search("<name>(.*?)</name>", block)
            assert name
            if name[1] not in ("circle", "star", "square"):
                text = text.replace(block, "", 1)
        path.write_text(text.replace("<name>square<", "<name>tile<"))


def fine_tune(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """One epoch on the user's own set, with a learning rate that changes nothing."""
    return run_train(
        "data=voc_custom",
        "model=ssd",
        "model/backbone=tiny",
        "data.size=128",
        f"data.root={folder / 'mine'}",
        "data.val_splits=[test]",
        "data.batch_size=8",
        f"init_from={source}",
        "optimizer.lr=1e-9",
        "optimizer.weight_decay=0",
        "trainer.max_epochs=1",
        f"hydra.run.dir={folder / 'second'}",
    )


@pytest.mark.slow
def test_a_users_own_classes_train_from_the_command_line(tmp_path: Path) -> None:
    source = written(tmp_path, "experiment=quickstart")
    write_shapes(tmp_path / "shapes", 16, 0, 8)
    custom_set(tmp_path / "shapes", tmp_path / "mine")
    result = fine_tune(tmp_path, source)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "kept: all layers, background and 2 classes: circle, star" in result.stdout
    assert "re-initialised: 1 class: tile" in result.stdout
    before, after = load_task(source), load_task(tmp_path / "second/checkpoints/last.ckpt")
    assert after.class_names == ["circle", "star", "tile"]
    key = "class_heads.1.0.weight"
    old, new = (task.network.state_dict()[key].unflatten(0, (-1, 4)) for task in (before, after))
    torch.testing.assert_close(new[:, [0, 1, 2]], old[:, [0, 1, 3]], atol=1e-6, rtol=0)
    assert (new[:, 3] - old[:, 2]).abs().mean() > 1e-3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_new_training_starts_where_the_old_one_was(tmp_path: Path) -> None:
    """Trained on eight shapes; of three others two are shared, and those are found at once."""
    first = run_train(
        "experiment=quickstart",
        "trainer=cpu",
        f"data.root={tmp_path / 'shapes'}",
        "data.num_train=1000",
        "data.batch_size=8",  # of the one process: as many steps as where two share 16
        "data.num_val=8",
        "data.num_test=100",
        "trainer.max_epochs=12",
        "trainer.check_val_every_n_epoch=12",
        f"hydra.run.dir={tmp_path / 'first'}",
    )
    assert first.returncode == 0, first.stderr[-3000:]
    custom_set(tmp_path / "shapes", tmp_path / "mine")
    second = fine_tune(tmp_path, tmp_path / "first/checkpoints/last.ckpt")
    assert second.returncode == 0, second.stderr[-3000:]
    before, after = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("first", "second"))
    shared = [
        sum(figures[f"test/ap/{name}"] for name in ("circle", "star")) / 2 for figures in (before, after)
    ]
    assert shared[0] > 0.3
    # A little is lost to the new class, whose first scores are chance.
    assert shared[1] > 0.6 * shared[0]
    assert after["test/ap/tile"] < 0.2


@pytest.mark.parametrize(
    ("backbone", "warned"),
    [
        (
            {"weights": None, "freeze_batchnorm": True, "frozen_blocks": 2},
            "freeze_batchnorm=true and model.backbone",
        ),
        (
            {"weights": None, "frozen_blocks": 1},
            "model.backbone.frozen_blocks=1: what is frozen stays random",
        ),
        ({"weights": None, "freeze_batchnorm": False, "frozen_blocks": 0}, ""),
        ({"weights": "imagenet", "freeze_batchnorm": True}, ""),
    ],
)
def test_a_frozen_backbone_without_weights_is_warned_of(backbone: dict[str, Any], warned: str) -> None:
    found = frozen_noise(backbone)
    assert warned in found
    assert bool(found) == bool(warned)
