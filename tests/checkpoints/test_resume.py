"""A run that was killed or stopped goes on as if nothing had happened."""

import csv
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.same import assert_same
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
SMALL = (
    "trainer=cpu",
    "optimizer=sgd",
    "optimizer.lr=0.01",
    "data.num_train=16",
    "data.num_val=5",
    "data.num_test=5",
    "data.batch_size=4",
    "data.num_workers=1",
    "trainer.max_epochs=3",
    "trainer.check_val_every_n_epoch=2",
    "trainer.log_every_n_steps=1",
    "scheduler.warmup_steps=0",
    "callbacks.progress.seconds=0",
    "callbacks.predictions.num_images=0",
)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    root = tmp_path_factory.mktemp("shapes")

    def run(*overrides: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*warm_python(), "train.py", *SMALL, f"data.root={root}", *overrides],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(root / "cache")},
            start_new_session=True,
        )

    return run


def finish(process: "subprocess.Popen[str]") -> str:
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return printed


def stop_at(
    process: "subprocess.Popen[str]", line: str, how: signal.Signals, kept: Path | None = None
) -> tuple[str, str]:
    """Send a signal as soon as the run prints a line and has ``kept`` a file, which a thread writes.

    Returns:
        What it printed, and what its errors were.
    """
    assert process.stdout is not None
    seen = ""
    for printed in process.stdout:
        seen += printed
        if line in printed:
            break
    assert line in seen, process.communicate()[1][-3000:]
    while kept is not None and not kept.exists() and process.poll() is None:
        time.sleep(0.01)
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)  # with the loader's worker
    else:
        process.send_signal(how)
    rest, errors = process.communicate(timeout=120)
    return seen + rest, errors


def last_checkpoint(folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "experiment", ["quickstart", pytest.param("quickstart_faster_rcnn", marks=pytest.mark.slow)]
)
def test_a_killed_run_ends_as_the_uninterrupted_one(start: Start, tmp_path: Path, experiment: str) -> None:
    common = (f"experiment={experiment}", "callbacks=[default,ema]")
    finish(start(*common, f"hydra.run.dir={tmp_path / 'whole'}", "data.num_workers=0"))
    killed = (*common, f"hydra.run.dir={tmp_path / 'killed'}")
    step = random.Random(experiment).randint(1, 3)
    kept = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    stop_at(start(*killed), f"epoch 2/3  step {step}/4", signal.SIGKILL, kept)
    printed = finish(start(*killed, "ckpt=last"))
    assert f"Resuming from {kept}" in printed
    assert "Changed since" not in printed

    whole, resumed = last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "killed")
    assert whole["epoch"] == resumed["epoch"] == 2
    for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
        assert_same(resumed[part], whole[part], part)
    figures = [json.loads((tmp_path / which / "metrics.json").read_text()) for which in ("whole", "killed")]
    assert figures[1] == figures[0]
    assert history(tmp_path / "killed") == history(tmp_path / "whole")


def test_ctrl_c_says_how_to_go_on_and_that_command_does(start: Start, tmp_path: Path) -> None:
    started = start("experiment=quickstart", f"hydra.run.dir={tmp_path / 'a run'}")
    _, errors = stop_at(started, "epoch 2/3", signal.SIGINT)
    assert "in epoch 2 of 3" in errors
    assert "Traceback" not in errors
    command = shlex.split(errors.partition("To resume:\n")[2].splitlines()[0])
    assert command[:2] == ["python", "train.py"]
    printed = finish(start(*command[2:]))
    assert "epoch 1/3" not in printed
    assert "epoch 2/3" in printed
    assert (tmp_path / "a run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("ckpt=last",), "ckpt=last: there is no"),
        (("ckpt={run}/checkpoints/last.ckpt", "experiment=quickstart_faster_rcnn"), "holds another network"),
        (("ckpt={run}/config.yaml",), "cannot be read as a checkpoint"),
    ],
)
def test_what_cannot_go_on_is_refused_in_a_sentence(
    start: Start, tmp_path: Path, stopped_run: Path, overrides: tuple[str, ...], message: str
) -> None:
    given = [word.format(run=stopped_run) for word in overrides]
    process = start("experiment=quickstart", f"hydra.run.dir={tmp_path}", *given)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert message in errors
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def stopped_run(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    once = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1")
    finish(start("experiment=quickstart", f"hydra.run.dir={folder}", "debug=fast", *once))
    return folder


@pytest.fixture
def run(tmp_path: Path, stopped_run: Path) -> Path:
    """A copy of the stopped run."""
    return Path(shutil.copytree(stopped_run, tmp_path / "run"))


def longer(run: Path) -> tuple[str, ...]:
    once = ("trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1")
    return ("experiment=quickstart", "debug=fast", *once, f"ckpt={run}")


def test_changes_are_told(start: Start, run: Path) -> None:
    printed = finish(start(*longer(run)))
    assert "Changed since: trainer.max_epochs: 1 -> 2" in printed
    assert "epoch 1/2" not in printed
    assert "epoch 2/2" in printed


@pytest.mark.slow
def test_a_run_goes_on_beside_broken_files(start: Start, run: Path) -> None:
    (run / "config.yaml").write_bytes(b"name: [quick\x00\xff\x1b[2J")
    (run / "metrics.csv").write_bytes(b"epoch,step,val/map\n\x00\xff,\r\n0,1")
    process = start(*longer(run))
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    assert "Traceback" not in errors
    assert f"Resuming from {run}/checkpoints/last.ckpt" in printed
    assert OmegaConf.load(run / "config.yaml").trainer.max_epochs == 2
    rows = [row for row in history(run) if row.get("val/map")]
    assert [row["epoch"] for row in rows] == ["1"], "only the history of the epoch that went on is left"
    assert (run / "curves.png").is_file()


def test_a_run_that_goes_on_touches_its_own_files_alone(start: Start, tmp_path: Path, run: Path) -> None:
    """What a state calls its former last checkpoint is deleted when the next is written."""
    others = tmp_path / "others"
    others.mkdir()
    thesis = others / "thesis.ckpt"
    thesis.write_text("mine")
    checkpoint = last_checkpoint(run)
    for key, state in checkpoint["callbacks"].items():
        if key.startswith("ModelCheckpoint"):
            foreign = f"{run}/checkpoints/../../others/thesis.ckpt"
            state |= {"best_model_path": foreign, "kth_best_model_path": foreign, "last_model_path": foreign}
            state |= {"best_k_models": {foreign: torch.tensor(-1.0)}, "dirpath": str(Path(foreign).parent)}
    torch.save(checkpoint, run / "checkpoints/last.ckpt")
    finish(start(*longer(run)))
    assert thesis.read_text() == "mine"
    assert last_checkpoint(run)["epoch"] == 1
    assert str(others) not in str(last_checkpoint(run)["callbacks"])


@pytest.mark.slow
def test_two_processes_resume_with_another_rate_and_batch_as_one_does(start: Start, tmp_path: Path) -> None:
    frozen = ("experiment=quickstart", "model.backbone.freeze_batchnorm=true", "scheduler=multistep")
    finish(
        start(
            *frozen,
            "trainer.max_epochs=1",
            "trainer.check_val_every_n_epoch=1",
            f"hydra.run.dir={tmp_path}/1",
        )
    )
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    changed = ("optimizer.lr=0.002", "data.batch_size=8")
    printed = [
        finish(start(*frozen, *changed, *trainer, f"ckpt={tmp_path}/{folder}"))
        for folder, trainer in (("1", ()), ("2", ("trainer=ddp_cpu",)))
    ]
    for lines in printed:
        assert "data.batch_size: 4 -> 8; images per step: 4 -> 8; optimizer.lr: 0.01 -> 0.002" in lines
        assert lines.count("33% of the run is done; the learning rate resumes from 0.002.") == 1
    one, two = (history(tmp_path / folder) for folder in "12")
    rates = [float(row["lr-SGD"]) for row in one if row["lr-SGD"]]
    assert rates == [float(row["lr-SGD"]) for row in two if row["lr-SGD"]]
    assert len(rates) == 4 + 2 * 2
    assert rates[4] == 0.002
    for name, weight in last_checkpoint(tmp_path / "1")["state_dict"].items():
        other = last_checkpoint(tmp_path / "2")["state_dict"][name]
        torch.testing.assert_close(other, weight, rtol=1e-4, atol=1e-5, msg=name)
