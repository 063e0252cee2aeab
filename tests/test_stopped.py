"""Runs that are told to end, or whose data stays away: they end in time, say so, and leave nothing behind."""

import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.started import assert_gone, children, wait_for
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
SMALL = (
    "experiment=quickstart",
    "data.size=64",
    "data.image_size=64",
    "data.num_train=32",
    "data.num_val=2",
    "data.num_test=2",
    "data.batch_size=4",
    "data.num_workers=1",
    "data.timeout=100",
    "trainer.max_epochs=500",
    "trainer.log_every_n_steps=1",
    "callbacks.progress.seconds=0",
    "callbacks.predictions.num_images=0",
)
ONE = ("trainer=cpu",)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
MINUTE = 60
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture
def start(tmp_path: Path, data_root: Path) -> Iterator[Start]:
    """Starts a training into the folder ``run``, in a process group of its own, of which nothing stays."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *overrides: str, python: tuple[str, ...] = (sys.executable,), **environment: str
    ) -> subprocess.Popen[str]:
        words = (*SMALL, f"data.root={data_root}", f"hydra.run.dir={tmp_path / 'run'}", *overrides)
        known = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(data_root), **environment}
        process = subprocess.Popen(
            [*python, "train.py", *words], cwd=ROOT, env=known, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    started = children(pid)
    return started + [grandchild for child in started for grandchild in below(child)]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_in_its_first_epoch_is_kept_at_its_step(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    python = (sys.executable,) if number == signal.SIGUSR1 else warm_python()  # which hands on the others
    process = start(*ONE, "data.num_train=400", python=python)
    wait_for(process, "epoch 1/500  step 2/100")
    os.killpg(process.pid, number)  # what loads for the step is told, too
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode == code
    assert "Traceback" not in errors
    kept = tmp_path / "run/checkpoints/last.ckpt"
    step = torch.load(kept, weights_only=True)["global_step"]
    assert step >= 2
    said = f"Stopped by {number.name if number != signal.SIGINT else 'Ctrl-C'} in epoch 1 of 500."
    assert errors.startswith(f"\n{said}\n")
    assert said in (tmp_path / "run/train.log").read_text()
    assert f"Kept: {kept}, up to step {step}, in epoch 1.\nTo resume:\n" in errors
    command = shlex.split(errors.partition("To resume:\n")[2].splitlines()[0])
    assert command[:2] == ["python", "train.py"]
    process = start(*command[2:], python=warm_python())
    wait_for(process, f"epoch 1/500  step {step + 1}/100")


@pytest.mark.parametrize(
    ("launcher", "code"),
    [
        ((), 143),
        # Its own status, whatever its processes end with.
        pytest.param(TORCHRUN, 1, marks=pytest.mark.slow),
    ],
)
def test_sigterm_to_a_group_of_two_ends_it_and_says_what_is_kept(
    start: Start, launcher: tuple[str, ...], code: int
) -> None:
    process = start("trainer.devices=2", python=(sys.executable, *launcher))
    wait_for(process, "epoch 2/500")
    others = below(process.pid)
    assert len(others) >= 3, "another process, and one for each of the two that loads"
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=MINUTE)
    assert time.monotonic() - started < MINUTE
    assert process.returncode == code
    assert errors.count("Stopped by SIGTERM in epoch") == 1
    assert re.search(r"last.ckpt, up to step \d+, .*epoch \d.\nTo resume:\n  python train.py", errors)
    assert_gone(others)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group", "code"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)]
)
@pytest.mark.parametrize("seconds", [0.1, 1.5])
def test_two_processes_of_which_the_second_starts_end_without_a_trace(
    start: Start, number: signal.Signals, group: bool, code: int, seconds: float
) -> None:
    process = start("trainer.devices=2")
    wait_for(process, "Test:")
    others = below(process.pid)
    time.sleep(seconds)
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode == code
    assert not re.search(r"Traceback|Child process|frame #|please report", errors), errors
    assert_gone(others)


@pytest.mark.slow
def test_ctrl_c_in_the_terminal_of_two_processes_leaves_nothing_behind(start: Start) -> None:
    process = start("trainer.devices=2")
    wait_for(process, "epoch 2/500")
    others = below(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C in epoch" in errors
    assert "Traceback" not in errors
    assert_gone(others)


HANGS = """
import signal, time
from detection.data.dataset import DetectionDataset

take = DetectionDataset.__getitem__

def wait_at_the_third(self, index):
    if index == 2:
        print("waiting", flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who waits for a disk cannot be ended
        time.sleep(600)
    return take(self, index)

DetectionDataset.__getitem__ = wait_at_the_third
"""


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="other processes are not patched")
def test_a_loader_that_brings_nothing_ends_the_run(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    process = start(*ONE, "plugins=[hangs]", "data.timeout=2", PYTHONPATH=paths)
    wait_for(process, "waiting")
    others = below(process.pid)
    started = time.monotonic()
    _, errors = process.communicate(timeout=MINUTE)  # whoever stayed would keep the pipe open
    assert time.monotonic() - started < 30
    assert process.returncode == 1
    assert others
    assert_gone(others)
    assert "No batch has come for 2 seconds (data.timeout)." in errors
    assert "Traceback" not in errors
