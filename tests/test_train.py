"""``train.py`` as its user runs it: from the command line, on real files, to the last picture."""

import csv
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import cv2
import pytest
import torch
from omegaconf import OmegaConf

from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
SMALL = (
    "experiment=quickstart",
    "trainer=cpu",
    "optimizer=sgd",
    "optimizer.lr=0.01",
    "data.num_train=24",
    "data.num_val=21",
    "data.num_test=9",
    "data.batch_size=8",
    "data.num_workers=1",
    "trainer.max_epochs=2",
    "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1",
    "scheduler.warmup_steps=0",
)
NO_PICTURES = "~callbacks.predictions"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def train(data_root: Path, run: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [
        *warm_python(),
        "train.py",
        *SMALL,
        f"data.root={data_root}",
        f"hydra.run.dir={run}",
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(data_root / "cache")}
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


@pytest.fixture(scope="module")
def run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("run")
    return folder, train(data_root, folder, "model.coco_ap=true").stdout


def test_the_run_says_where_it_keeps_things_and_shows_its_figures(run: tuple[Path, str]) -> None:
    folder, printed = run
    assert "epoch 2/2" in printed
    lines = dict(re.findall(r"^(Data|Model|Step|Run|Test): +(.*)$", printed, re.MULTILINE))
    assert re.fullmatch(
        r"shapes in .*, 8 classes: train 24 images \(\d+ objects.*\), val 21 .*, test 9 images .*",
        lines["Data"],
    )
    assert re.fullmatch(
        r"SSD on Tiny, 1,\d{3},\d{3} parameters, all trained, input 128 x 128 pixels, random weights",
        lines["Model"],
    )
    step = "8 images = 1 device x 8 images, 3 an epoch, 2 epochs, SGD at lr 0.01, float32 on cpu"
    assert lines["Step"] == step
    assert lines["Run"] == f"{folder}, logged by csv"
    assert re.fullmatch(r"the best checkpoint by val/map, on test, \d+ images", lines["Test"])
    for name in ("circle", "mean, 11 points (VOC07)", str(folder)):
        assert name in printed


def test_the_log_of_the_run_has_what_lasts(run: tuple[Path, str]) -> None:
    folder, printed = run
    log = (folder / "train.log").read_text()
    for line in printed.splitlines():
        if line.startswith(("Data:", "Model:", "Step:", "epoch 1/2  loss", "epoch 2/2  loss", "Next:")):
            assert line in log
    assert len(re.findall(r"^epoch \d/2  loss \d.*  val mAP \d\.\d{3}", log, re.MULTILINE)) == 2
    assert log.rstrip().endswith("checkpoints/best.ckpt")


def test_the_next_commands_can_be_pasted(run: tuple[Path, str], data_root: Path) -> None:
    folder, printed = run
    evaluate, predict, export = printed.partition("Next:\n")[2].splitlines()
    assert export == f"  python -m detection.export ckpt={folder}/checkpoints/best.ckpt"
    assert predict == f"  python -m detection.predict ckpt={folder}/checkpoints/best.ckpt source=PHOTOS"
    words = shlex.split(evaluate)
    assert words[:3] == ["python", "-m", "detection.evaluate"]
    assert words[3:5] == [f"ckpt={folder}/checkpoints/best.ckpt", "data=shapes"]
    assert f"data.root={data_root}" in words
    assert not [word for word in words if word.startswith(("data.batch_size", "data.num_workers"))]


def test_weights_that_cannot_be_had_end_a_run_before_data_is_drawn(tmp_path: Path) -> None:
    data, missing = tmp_path / "data", tmp_path / "missing.pth"
    for words in (
        [f"init_from={missing}"],
        ["model/backbone=mobilenet_v2", f"model.backbone.weights={missing}"],
    ):
        command = [
            *warm_python(),
            "train.py",
            *SMALL,
            f"data.root={data}",
            f"hydra.run.dir={tmp_path / 'run'}",
        ]
        result = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert "missing.pth" in result.stderr
        assert "Traceback" not in result.stderr
        assert not data.exists()


def test_a_set_that_is_not_there_is_told_before_weights_are_fetched(tmp_path: Path) -> None:
    words = ["data=voc_custom", f"data.root={tmp_path / 'nowhere'}", "init_from=missing.ckpt"]
    command = [*warm_python(), "train.py", f"hydra.run.dir={tmp_path / 'run'}", *words]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "nowhere" in result.stderr
    assert "missing.ckpt" not in result.stderr


def test_the_run_leaves_its_figures(run: tuple[Path, str]) -> None:
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {
        "test/map",
        "test/map_07",
        "test/map_area",
        "test/loss",
        "test/ap/circle",
        "test/coco_map",
    } <= set(metrics)
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["train/loss"]) for row in rows) == 6
    assert sum(bool(row["val/map"]) for row in rows) == 2
    assert any(row["lr-SGD"] for row in rows)
    config = OmegaConf.load(folder / "config.yaml")
    assert config.data.num_train == 24
    assert config.run_dir == str(folder)


def test_the_run_leaves_pictures(run: tuple[Path, str]) -> None:
    folder, _ = run
    for name in ("predictions.png", "curves.png"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.std() > 5, f"{name} is blank"


def test_the_checkpoint_describes_itself(run: tuple[Path, str]) -> None:
    folder, _ = run
    for name in ("best.ckpt", "last.ckpt"):
        checkpoint = torch.load(folder / "checkpoints" / name, weights_only=True)
        described = checkpoint["hyper_parameters"]
        assert described["model"]["class_names"][0] == "arrow"
        assert described["model"]["backbone"]["_target_"].endswith("TinyBackbone")
        assert described["data"]["size"] == 128
        assert described["data"]["eval_transform"]["_target_"].endswith("ssd_eval_transform")


def test_the_same_seed_gives_the_same_weights_with_targets_from_any_side(
    run: tuple[Path, str], data_root: Path, tmp_path: Path
) -> None:
    train(data_root, tmp_path, "data.targets_in_workers=true", "data.num_workers=2", NO_PICTURES)
    expected = weights(run[0])
    for name, value in weights(tmp_path).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_two_processes_and_two_parts_train_and_score_like_one(data_root: Path, tmp_path: Path) -> None:
    frozen = "model.backbone.freeze_batchnorm=true"  # batch statistics are per process
    train(data_root, tmp_path / "one", frozen, NO_PICTURES)
    two_by_two = ("trainer=ddp_cpu", "trainer.accumulate_grad_batches=2")
    train(data_root, tmp_path / "two", frozen, NO_PICTURES, *two_by_two)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5, msg=name)
    metrics = [json.loads((tmp_path / which / "metrics.json").read_text()) for which in ("one", "two")]
    for name in ("test/map_07", "test/map_area", "test/loss"):
        assert metrics[1][name] == pytest.approx(metrics[0][name], abs=1e-4), name


@pytest.mark.slow
def test_faster_rcnn_trains_on_two_processes_with_targets_from_workers(
    data_root: Path, tmp_path: Path
) -> None:
    train(
        data_root,
        tmp_path,
        "experiment=quickstart_faster_rcnn",
        "data.targets_in_workers=true",
        "trainer=ddp_cpu",
        "trainer.max_epochs=1",
        "trainer.precision=bf16-mixed",
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    losses = {"loss", "loss_rpn_cls", "loss_rpn_box", "loss_roi_cls", "loss_roi_box"}
    assert {f"test/{name}" for name in losses | {"map", "ap/circle"}} <= set(metrics)
    assert all(metrics[f"test/{name}"] > 0 for name in losses)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in losses:
        assert sum(bool(row[f"train/{name}"]) for row in rows) == 3, name
    checkpoint = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["data"]["collate"] == "list"
