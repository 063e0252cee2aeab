"""Sweeps and runs of several processes as their user starts them: from the command line."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
TRAIN = (sys.executable, str(ROOT / "train.py"))
SMALL = (
    "experiment=quickstart",
    "trainer=cpu",
    "optimizer=sgd",
    "optimizer.lr=0.01",
    "data.num_train=8",
    "data.num_val=2",
    "data.num_test=2",
    "data.batch_size_per_device=4",
    "data.num_workers=0",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "scheduler.warmup_steps=0",
    "~callbacks.predictions",
)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def start(
    data_root: Path,
    *arguments: str,
    program: tuple[str, ...] = TRAIN,
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
) -> "subprocess.Popen[str]":
    flags = [word for word in arguments if word.startswith("-")]
    overrides = [word for word in arguments if not word.startswith("-")]
    quick = {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(data_root / "cache")}
    return subprocess.Popen(
        [*program, *flags, *SMALL, f"data.root={data_root}", *overrides],
        cwd=cwd,
        env={**os.environ, **quick, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    printed, _ = process.communicate(timeout=1500)
    return printed


def metrics(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return found


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def steps(run: Path) -> int:
    with (run / "metrics.csv").open(newline="") as file:
        return sum(bool(row["train/loss"]) for row in csv.DictReader(file))


def test_jobs_of_two_processes_and_of_one_and_some_that_fail(data_root: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    jobs = ("-m", "trainer.devices=2,1", "seed=1,abc", f"hydra.sweep.dir={sweep}")
    process = start(data_root, *jobs, program=(*warm_python(), str(ROOT / "train.py")))
    printed = finish(process)
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1", "2", "3"]
    for number, devices in (("0", 2), ("2", 1)):
        config = OmegaConf.load(sweep / number / "config.yaml")
        assert (config.trainer.devices, config.seed) == (devices, 1)
        assert config.run_dir == str(sweep / number)
        assert {"val/map", "test/map"} <= set(metrics(sweep / number))
        assert steps(sweep / number) == 2 // devices
    for number in ("1", "3"):
        assert not (sweep / number / "metrics.json").exists()
        assert "seed" in (sweep / number / "error.txt").read_text()
    assert process.returncode == 1
    assert "2 of 4 runs failed:\n  1: " in printed
    assert [(row["trainer.devices"], row["seed"], row["status"]) for row in rows(sweep)[2:]] == [
        ("2", "abc", "failed"),
        ("1", "abc", "failed"),
    ]


def test_torchrun_gives_all_processes_one_folder(data_root: Path, tmp_path: Path) -> None:
    torchrun = (*warm_python(), "-m", "torch.distributed.run", "--nproc_per_node=2", str(ROOT / "train.py"))
    process = start(data_root, "trainer.devices=2", program=torchrun, cwd=tmp_path)
    printed = finish(process)
    assert process.returncode == 0, printed[-3000:]
    [run] = (tmp_path / "runs/quickstart").iterdir()
    assert {"val/map", "test/map"} <= set(metrics(run))
    assert steps(run) == 1, "two processes share the eight images"


def test_torchrun_with_other_devices_is_refused(data_root: Path, tmp_path: Path) -> None:
    environment = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}
    program = (*warm_python(), str(ROOT / "train.py"))
    process = start(data_root, f"hydra.run.dir={tmp_path}", program=program, environment=environment)
    printed = finish(process)
    assert process.returncode == 1
    assert (
        "trainer.devices: 2 processes were started (torchrun, srun), but devices x num_nodes is 1 x 1"
        in printed
    )
    assert "Traceback" not in printed


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/sweep").glob("*.yaml")))
def test_every_sweep_composes_and_varies_keys_that_exist(name: str) -> None:
    lines = (ROOT / "conf/sweep" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert f"sweep={name}" in lines[1], "the header shows the command"
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[f"sweep={name}"], return_hydra_config=True)
    for key in cfg.hydra.sweeper.params:
        assert OmegaConf.select(cfg, key) is not None, key


def test_the_values_of_wandb_are_overrides() -> None:
    search = OmegaConf.load(ROOT / "conf/wandb_sweep.yaml")
    assert (ROOT / search.program).exists()
    given = [
        f"{key}={choice['min'] if 'min' in choice else choice['values'][0]}"
        for key, choice in search.parameters.items()
    ]
    command = OmegaConf.to_container(search.command, resolve=False)
    assert isinstance(command, list)
    fixed = [word for word in command if "=" in word]
    assert command[-1] == "${args_no_hyphens}"
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[*fixed, *given])
    assert cfg.optimizer.lr == search.parameters["optimizer.lr"].min
    assert search.metric.name == cfg.optimized_metric


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_of_a_sweep_is_the_run_by_itself(data_root: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    process = start(data_root, "-m", "trainer.devices=2", "seed=1,2,3", f"hydra.sweep.dir={sweep}")
    printed = finish(process)
    assert process.returncode == 0, printed[-3000:]
    assert [OmegaConf.load(sweep / number / "config.yaml").seed for number in "012"] == [1, 2, 3]
    losses = [metrics(sweep / number)["test/loss"] for number in "012"]
    assert len(set(losses)) == 3

    alone = start(data_root, "trainer.devices=2", "seed=2", program=TRAIN, cwd=tmp_path)
    printed = finish(alone)
    assert alone.returncode == 0, printed[-3000:]
    [run] = (tmp_path / "runs/quickstart").iterdir()  # one folder, although two processes have a clock
    assert metrics(run)["test/loss"] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_process_that_dies_ends_its_job_within_a_minute_and_no_other(
    data_root: Path, tmp_path: Path
) -> None:
    # The first job would run for hours.
    jobs = ("trainer.devices=2", "trainer.max_epochs=1000,1")
    process = start(data_root, "-m", *jobs, f"hydra.sweep.dir={tmp_path}")
    wait_for(tmp_path / "0/checkpoints/last.ckpt", process)
    os.kill(second_process_of(tmp_path / "0"), signal.SIGKILL)
    wait_for(tmp_path / "1/.hydra", process, seconds=60)
    printed = finish(process)
    assert process.returncode == 1
    assert "1 of 2 runs failed:\n  0: " in printed
    statuses = {row["run"]: row["status"] for row in rows(tmp_path)}
    assert statuses == {"0": "failed", "1": "finished"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_stopped_sweep_says_how_it_goes_on_and_then_does(data_root: Path, tmp_path: Path) -> None:
    sweep, done = tmp_path / "my sweep", tmp_path / "my sweep/0/metrics.json"
    jobs = ("trainer.max_epochs=1,40", "data.size=64", "data.image_size=64", f"hydra.sweep.dir={sweep}")
    process = start(data_root, "-m", *jobs)
    wait_for(sweep / "1/checkpoints/last.ckpt", process)
    os.killpg(process.pid, signal.SIGINT)
    printed = finish(process)
    assert process.returncode == 130
    assert printed.count("Stopped by Ctrl-C.") == 1, printed[-3000:]
    assert "To resume" not in printed
    assert f"Kept: {sweep}/1/checkpoints/last.ckpt, up to step" in printed
    before, kept = done.stat().st_mtime_ns, torch.load(sweep / "1/checkpoints/last.ckpt")["global_step"]

    command = shlex.split(printed.partition("To go on with this sweep:\n")[2])
    assert command[-1] == f"hydra.sweep.dir={sweep}"
    assert len({word.partition("=")[0] for word in command}) == len(command), "each key is given once"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(data_root / "cache")}
    process = subprocess.Popen(
        [sys.executable, *command[1:]], env=environment, stdout=subprocess.PIPE, text=True
    )
    printed = finish(process)
    assert process.returncode == 0, printed[-3000:]
    assert f"#0 is done, by {done}: val/map " in printed
    assert done.stat().st_mtime_ns == before
    assert f"#1 goes on from {sweep}/1/checkpoints/last.ckpt\n" in printed
    assert not (sweep / "1/checkpoints/before").exists()
    assert steps(sweep / "1") == 80 > kept, "two steps an epoch, each of which is made once"
    assert [row["status"] for row in rows(sweep)] == ["finished", "finished"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_search_on_two_processes_continues(data_root: Path, tmp_path: Path) -> None:
    search = (
        "sweep=optuna",
        "trainer.devices=2",
        f"hydra.sweep.dir={tmp_path}",
        "hydra.sweeper.n_trials=4",
        "callbacks.pruning.monitor=val/loss",
        "callbacks.pruning.pruner._target_=optuna.pruners.ThresholdPruner",
        "~callbacks.pruning.pruner.n_startup_trials",
        "~callbacks.pruning.pruner.n_warmup_steps",
        "+callbacks.pruning.pruner.upper=1000000",
        "+callbacks.pruning.pruner.n_warmup_steps=0",
    )
    process = start(data_root, *search)
    wait_for(tmp_path / "2/metrics.csv", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    # From here on, every trial is hopeless after its first epoch.
    process = start(data_root, *search, "callbacks.pruning.pruner.upper=0", "trainer.max_epochs=1000")
    printed = finish(process)
    assert process.returncode == 0, printed[-3000:]
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path}/study.db")
    complete, failed, pruned = TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED
    assert [trial.state for trial in study.trials] == [complete, complete, failed, pruned, pruned]
    assert study.trials[3].params == study.trials[2].params
    for trial in study.trials[:2]:
        assert trial.value == pytest.approx(metrics(tmp_path / str(trial.number))["val/map"])
    assert len(rows(tmp_path)) == 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_jobs_of_another_launcher_report_too(data_root: Path, tmp_path: Path) -> None:
    process = start(
        data_root,
        "-m",
        "trainer.devices=2",
        "seed=1,2",
        "hydra/launcher=submitit_local",
        f"hydra.sweep.dir={tmp_path}",
    )
    printed = finish(process)
    assert process.returncode == 0, printed[-3000:]
    assert sorted((row["run"], row["seed"], row["status"]) for row in rows(tmp_path)) == [
        ("0", "1", "finished"),
        ("1", "2", "finished"),
    ]


def wait_for(path: Path, process: "subprocess.Popen[str]", seconds: int = 600) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, finish(process)[-3000:]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.2)


def second_process_of(run: Path) -> int:
    """The process that Lightning started for the run in this folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if "hydra.job.name=train_ddp_process_1" in words and any(str(run) in word for word in words):
                return int(entry.name)
    raise AssertionError(f"{run} has no second process")
