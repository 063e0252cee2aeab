"""Processes that torchrun or srun started, and what a process may use."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from detection.system import processes
from detection.system.processes import agree_on_start, available_memory, num_cores, started_elsewhere


def test_the_processes_of_torchrun_take_the_start_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agent.set("run_started", "2030-01-01_00-00-00")
    _start_as(0, agent, monkeypatch)
    assert os.environ["RUN_STARTED"] == "2030-01-01_00-00-00"


def test_the_processes_of_a_restart_do_not_meet_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with socket.create_server(("127.0.0.1", 0)) as before:
        agent.set("port_of_this_start", str(before.getsockname()[1]))
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as environment:
        second = pool.submit(_start_as, 1, agent, environment)
        time.sleep(0.5)
        assert not second.done(), "the one before is gone"
        own = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        agent.set("port_of_this_start", str(own.port))
        second.result()
        assert os.environ["MASTER_PORT"] == str(own.port)
    _start_as(0, agent, monkeypatch)
    assert agent.get("port_of_this_start").decode() == os.environ["MASTER_PORT"] != str(own.port)
    assert os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "False"
    port = int(os.environ["MASTER_PORT"])  # as init_process_group opens it
    TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, multi_tenant=True)


def _start_as(rank: int, agent: TCPStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(agent.port),
        "RANK": str(rank),
        "RUN_STARTED": "",  # so that it is put back after the test
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RUN_STARTED")
    monkeypatch.setattr("sys.argv", ["train.py"])
    agree_on_start()


def test_the_processes_of_srun_need_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit, match=r"run_dir"):
        agree_on_start()
    monkeypatch.setattr("sys.argv", ["train.py", "hydra.run.dir=runs/1"])
    agree_on_start()
    assert "RUN_STARTED" not in os.environ


ARRAY = {"SLURM_JOB_ID": "18", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "5", "SLURM_STEP_ID": "1"}


@pytest.mark.parametrize(
    ("environment", "folder"),
    [({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0"}, "slurm_17.0"), (ARRAY, "slurm_12_5.1")],
)
def test_the_processes_of_a_job_of_slurms_agree_on_its_number(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str
) -> None:
    monkeypatch.setenv("RUN_STARTED", "")
    monkeypatch.delenv("RUN_STARTED")
    for name, value in {"SLURM_STEP_NUM_TASKS": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["train.py"])
    agree_on_start()
    assert os.environ["RUN_STARTED"] == folder


@pytest.mark.parametrize(
    ("environment", "trainer", "right"),
    [
        ({}, {"devices": 4, "num_nodes": 1}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, {"devices": 4, "num_nodes": 1}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, {"devices": [0, 1], "num_nodes": 2}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, {"devices": "auto", "num_nodes": 1}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, {"devices": 1, "num_nodes": 1}, False),
        ({"SLURM_STEP_NUM_TASKS": "2"}, {"devices": 1, "num_nodes": 1}, False),
        ({"SLURM_STEP_NUM_TASKS": "1"}, {"devices": 2, "num_nodes": 1}, False),
    ],
)
def test_the_trainer_uses_the_processes_that_were_started(
    environment: dict[str, str], trainer: dict[str, Any], right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    errors = started_elsewhere(trainer)
    assert len(errors) == (0 if right else 1)
    assert right or "trainer.devices" in errors[0]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processes, "_CONTAINER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("quota", "cores"), [("max", 16), ("50000", 1), ("150000", 2), ("6400000", 16)])
def test_cores_are_those_that_the_container_may_use(
    container: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert num_cores() == 16, "without a container"
    (container / "cpu.max").write_text(f"{quota} 100000\n")
    assert num_cores() == cores


def test_memory_is_that_which_the_container_has_left(container: Path) -> None:
    of_machine = available_memory()
    assert 3000 < of_machine <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (container / "memory.max").write_text("3000\n")
    (container / "memory.current").write_text("2500\n")
    (container / "memory.stat").write_text("anon 2000\ninactive_file 400\n")
    assert available_memory() == 900
    (container / "memory.max").write_text("max\n")
    assert available_memory() == pytest.approx(of_machine, rel=0.5)
