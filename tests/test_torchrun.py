"""A job of torchrun's whose processes are killed: it is started again, and resumes in its folder."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.same import assert_same
from tests.started import children, wait_for

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SMALL = (
    "experiment=quickstart", "trainer=ddp_cpu", "data.num_train=32", "data.num_val=3", "data.num_test=3",
    "data.image_size=64", "data.size=64", "data.batch_size=4", "data.num_workers=1", "trainer.max_epochs=4",
    "callbacks.progress.seconds=0", "callbacks.predictions.num_images=0", "trainer.log_every_n_steps=1",
    "callbacks.last.every_n_steps=1",
)  # fmt: skip
STEPS = 32


class Job:
    """A training by torchrun in a folder, which is empty at first."""

    def __init__(self, folder: Path, *words: str, processes: int = 2, root: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        launcher = ("torch.distributed.run", "--standalone", f"--nproc_per_node={processes}")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher, "--max-restarts=3", str(ROOT / "train.py"), *SMALL, *words,
             f"trainer.devices={processes}", f"data.root={root}"],
            cwd=folder, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(root / "cache")},
        )  # fmt: skip

    def kill(self, rank: int) -> None:
        (pid,) = (pid for pid in children(self.process.pid) if _rank_of(pid) == str(rank))
        os.kill(pid, signal.SIGKILL)

    def finish(self) -> str:
        printed, _ = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, printed[-5000:]
        return printed

    @property
    def run(self) -> Path:
        """The one folder that all its starts have used."""
        (run,) = (self.folder / "runs/quickstart").iterdir()
        return run

    def last(self) -> dict[str, Any]:
        checkpoint: dict[str, Any] = torch.load(self.run / "checkpoints/last.ckpt", weights_only=True)
        return checkpoint

    def steps(self) -> list[int]:
        with (self.run / "metrics.csv").open(newline="") as file:
            return [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]


def _rank_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return next((word.removeprefix("RANK=") for word in words if word.startswith("RANK=")), "")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    """Those that a test has started; nothing of them stays."""
    started: list[Job] = []
    yield started
    for job in started:
        with suppress(ProcessLookupError):
            os.killpg(job.process.pid, signal.SIGKILL)


def test_a_killed_process_comes_back_and_the_job_goes_on_at_its_step(
    jobs: list[Job], root: Path, tmp_path: Path
) -> None:
    jobs.append(job := Job(tmp_path / "killed", root=root))
    wait_for(job.process, "epoch 1/4  step 4/8")
    job.kill(rank=1)
    wait_for(job.process, "Resuming from ")
    wait_for(job.process, "epoch 3/4  step 2/8")
    job.kill(rank=0)
    wait_for(job.process, "Resuming from ")
    job.finish()
    assert job.last()["global_step"] == STEPS
    assert job.steps() == list(range(STEPS))
    jobs.append(whole := Job(tmp_path / "whole", root=root))
    whole.finish()
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(job.last()[part], whole.last()[part], part)


def test_another_number_of_processes_resumes_what_is_left(
    jobs: list[Job], root: Path, tmp_path: Path
) -> None:
    jobs.append(job := Job(tmp_path / "run", root=root))
    wait_for(job.process, "epoch 2/4  step 2/8")
    os.killpg(job.process.pid, signal.SIGTERM)
    job.process.communicate(timeout=120)
    kept = job.last()["global_step"]
    assert 9 <= kept < STEPS
    jobs.append(refused := Job(tmp_path / "run", f"ckpt={job.run}", processes=3, root=root))
    printed, _ = refused.process.communicate(timeout=300)
    assert "data.batch_size=4 does not divide among 3 devices" in printed
    jobs.append(alone := Job(tmp_path / "run", f"ckpt={job.run}", processes=1, root=root))
    assert "Resuming from " in alone.finish()
    assert alone.last()["global_step"] == STEPS
    assert alone.steps() == list(range(STEPS))
