"""Jobs of a real Slurm on this machine: they are told of their end, queued again, and resume in their folder.

Needs Debian's ``slurm-wlm`` and ``munge``, and the rights of root.
"""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
needs_slurm = pytest.mark.skipif(
    not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or os.geteuid() != 0,
    reason="there is no slurm-wlm or munge, or they may not be started",
)
pytestmark = [pytest.mark.slow, needs_slurm]
SMALL = (
    "experiment=quickstart", "trainer.accelerator=cpu", "data.num_train=32", "data.num_val=3",
    "data.num_test=2", "data.image_size=64", "data.size=64", "data.batch_size=4", "data.num_workers=1",
    "trainer.max_epochs=12", "callbacks.progress.seconds=0", "callbacks.predictions.num_images=0",
    "trainer.log_every_n_steps=1",
)  # fmt: skip
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=17000
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=2 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


def wait_until(true: Callable[[], Any], seconds: float = 240, told: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, told()[-3000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two nodes on this machine; the folder of their configuration."""
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o700)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=socket.gethostname()))
    munge = {"socket": "munge.socket", "key-file": "key", "pid-file": "munged.pid", "log-file": "munged.log"}
    options = [f"--{name}={folder / file}" for name, file in {**munge, "seed-file": "seed"}.items()]
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        try:
            for words in (
                ["munged", "--force", *options],
                ["slurmctld"],
                *(["slurmd", "-N", f"node{n}"] for n in (1, 2)),
            ):
                subprocess.run(words, check=True, env=environment)
            wait_until(lambda: "idle" in output("sinfo", "--noheader", "--format=%T %D"), 30)
            yield folder
        finally:
            with suppress(subprocess.CalledProcessError, AssertionError):
                output("scancel", "--full", "--user=root")
                wait_until(lambda: not output("squeue", "--noheader"), 30)
            for path in sorted(folder.glob("*.pid"), reverse=True):
                with suppress(OSError, ValueError):
                    os.kill(int(path.read_text()), signal.SIGTERM)


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


class Job:
    """A training that Slurm runs, in a folder of the test's."""

    def __init__(
        self, folder: Path, root: Path, srun: str, *words: str, options: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        command = f"{srun} {sys.executable} {ROOT / 'train.py'} {' '.join([*SMALL, *words])} data.root={root}"
        script = folder / "job.sh"
        script.write_text(f"#!/bin/bash\nexport OMP_NUM_THREADS=1 MASTER_ADDR=127.0.0.1\n{command}\n")
        files = ("--output=said-%j.txt", "--open-mode=append", f"--chdir={folder}")
        printed = output("sbatch", "--parsable", "--requeue", "--time=30", *files, *options, str(script))
        self.number = printed.strip().partition(";")[0]

    def said(self) -> str:
        path = self.folder / f"said-{self.number}.txt"
        return path.read_text() if path.exists() else ""

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said(), told=self.said)


def last(run: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_that_is_told_of_its_end_goes_on_at_its_step_when_it_is_queued_again(
    cluster: Path, tmp_path: Path, nodes: int
) -> None:
    srun = f"srun --nodes={nodes} --ntasks-per-node=1"
    words = (
        "trainer.devices=1",
        f"trainer.num_nodes={nodes}",
        *(["trainer.strategy=ddp"] if nodes > 1 else []),
    )
    job = Job(tmp_path, tmp_path / "shapes", srun, *words, options=(f"--nodes={nodes}",))
    job.wait_for("epoch 2/12  step 2")
    output("scancel", "--signal=USR1", job.number)
    job.wait_for(f"Slurm queues job {job.number} again, which then resumes by itself.")
    (run,) = (tmp_path / "runs/quickstart").iterdir()
    assert run.name == (f"slurm_{job.number}" if nodes == 1 else f"slurm_{job.number}.0")
    step = last(run)["global_step"]
    assert f"Kept: {run}/checkpoints/last.ckpt, up to step {step}, in epoch 2." in job.said()
    job.wait_for("Next:\n")
    assert f"Resuming from {run}/checkpoints/last.ckpt." in job.said()
    assert [path.name for path in (tmp_path / "runs/quickstart").iterdir()] == [run.name]
    assert last(run)["global_step"] == 96
    with (run / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == list(range(96))


def test_a_job_that_hydra_has_submitted_goes_on_when_its_time_is_over(cluster: Path, tmp_path: Path) -> None:
    """By the launcher of ``conf/hydra/launcher/slurm.yaml``; the other job of the sweep is left alone."""
    sweep = tmp_path / "sweep"
    words = (
        *("-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "seed=1,2"),
        *(*SMALL, f"data.root={tmp_path / 'shapes'}", f"hydra.sweep.dir={sweep}", "trainer=cpu"),
    )
    with (tmp_path / "printed.txt").open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, ROOT / "train.py", *words], cwd=tmp_path, stdout=printed, stderr=printed,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip

    def said() -> str:
        logs = sorted(sweep.glob(".submitit/*/*_0_0_log.*"))
        return (tmp_path / "printed.txt").read_text() + "".join(log.read_text() for log in logs)

    try:
        wait_until(lambda: "epoch 2/12  step 2" in said(), told=said)
        number = output("squeue", "--noheader", "--array", "--format=%i", "--sort=i").split()[0]
        output("scancel", "--signal=USR2", number)  # as submitit has asked Slurm to do before the end
        wait_until(lambda: "Resuming from" in said(), told=said)
        assert f"Kept: {sweep}/0/checkpoints/last.ckpt, up to step " in said()
        wait_until(lambda: process.poll() is not None, told=said)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said()[-3000:]
    for run in (sweep / "0", sweep / "1"):
        assert last(run)["global_step"] == 96
        with (run / "metrics.csv").open(newline="") as file:
            assert [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]] == list(range(96))
