"""A command that fails leaves what it has made, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]


def fails(folder: Path, *words: str) -> str:
    command = [*warm_python(), str(ROOT / "train.py"), "experiment=quickstart", "trainer=cpu", *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1
    return result.stderr


@pytest.mark.parametrize("named", [False, True])
def test_no_folder_of_a_run_that_did_not_begin(tmp_path: Path, named: bool) -> None:
    words = ["run_dir=my/run"] if named else []
    assert "missing.ckpt" in fails(tmp_path, "init_from=missing.ckpt", *words)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "my/run").exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    fails(tmp_path, "init_from=missing.ckpt", "run_dir=mine")
    assert (tmp_path / "mine").is_dir()


def test_other_runs_stay(tmp_path: Path) -> None:
    other = tmp_path / "runs/quickstart/2026-01-01_00-00-00"
    other.mkdir(parents=True)
    fails(tmp_path, "init_from=missing.ckpt")
    assert list((tmp_path / "runs/quickstart").iterdir()) == [other]


def test_what_a_run_has_made_stays(tmp_path: Path) -> None:
    few = ("data.num_train=8", "data.num_val=2", "data.num_test=2", "data.num_workers=0")
    said = fails(tmp_path, *few, "optimizer.lr=1e30", "scheduler.warmup_steps=0", "run_dir=run")
    assert "the weights are spoilt" in said
    assert (tmp_path / "run/config.yaml").exists()


@pytest.mark.parametrize("command", ["evaluate", "check", "benchmark"])
def test_no_other_command_writes_to_the_folder_of_a_training(tmp_path: Path, command: str) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    ckpt = [f"ckpt={tmp_path}/run"] if command == "evaluate" else []
    words = [*warm_python(), "-m", f"detection.{command}", *ckpt, f"run_dir={tmp_path}/run"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"is the folder of a training, whose settings {command} would replace" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "checkpoints"]
