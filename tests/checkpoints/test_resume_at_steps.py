"""Runs that end at any step, by real signals in real processes, are the uninterrupted run at the end."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.same import assert_same
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
SSD, FASTER_RCNN = "quickstart", "quickstart_faster_rcnn"
SMALL = (
    "optimizer=sgd",
    "optimizer.lr=0.01",
    "data.image_size=64",
    "data.num_train=32",
    "data.num_val=3",
    "data.num_test=2",
    "data.batch_size=8",
    "trainer.max_epochs=5",
    "trainer.accumulate_grad_batches=2",
    "trainer.log_every_n_steps=1",
    "scheduler.warmup_steps=0",
    "callbacks=[default,ema]",
    "~callbacks.summary",
    "callbacks.progress.seconds=0",
    "callbacks.predictions.num_images=0",
)
STEPS = 20
ENDS = {signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGKILL: -signal.SIGKILL}


class Training:
    """One training in a folder, in as many parts as it is ended and resumed."""

    def __init__(self, folder: Path, root: Path, experiment: str, processes: int, *overrides: str) -> None:
        size = "data.size=64" if experiment == SSD else "data.size=[64,96]"
        devices = (f"trainer.devices={processes}", "trainer.accelerator=cpu")
        self.folder, self.root, self.is_one = folder, root, processes == 1
        self.words = [f"experiment={experiment}", *SMALL, size, *devices, *overrides]
        self.words += [f"data.root={root}", f"hydra.run.dir={folder}"]

    def start(self, *words: str, warm: bool = False) -> "subprocess.Popen[str]":
        python = warm_python() if warm else (sys.executable,)
        resumes = ["ckpt=last"] if (self.folder / "checkpoints/last.ckpt").exists() else []
        return subprocess.Popen(
            [*python, "train.py", *self.words, *words, *resumes],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.root / "cache")},
            start_new_session=True,
        )

    def finish(self) -> dict[str, Any]:
        """Train to the end; what is kept there."""
        printed, _ = (process := self.start(warm=self.is_one)).communicate(timeout=600)
        assert process.returncode == 0, printed[-3000:]
        assert "resuming from a checkpoint that ended before" not in printed
        return self.last()

    def end(self, draw: random.Random, how: signal.Signals) -> int:
        """Train a few steps, then end all processes or the first one; how many steps are kept."""
        kept = ["callbacks.last.every_n_steps=1"] if how == signal.SIGKILL else []
        process = self.start(*kept, warm=self.is_one and how != signal.SIGUSR1)  # which does not hand it on
        assert process.stdout is not None
        seen, lines = "", draw.randint(3, 6)  # of parts: the first step is kept when the second one begins
        for line in process.stdout:
            seen += line
            lines -= bool(re.match(r"epoch \d+/\d+ ", line))
            if lines == 0:
                break
        if how == signal.SIGKILL or draw.random() < 0.5:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        printed = seen + process.communicate(timeout=300)[0]
        assert process.returncode == ENDS[how], printed[-3000:]
        assert "Traceback" not in printed
        # A kill may come while the first one is still written.
        is_kept = how != signal.SIGKILL or (self.folder / "checkpoints/last.ckpt").exists()
        steps = int(self.last()["global_step"]) if is_kept else 0
        if how != signal.SIGKILL:
            assert f"last.ckpt, up to step {steps}, " in printed
        return steps

    def last(self) -> dict[str, Any]:
        checkpoint: dict[str, Any] = torch.load(self.folder / "checkpoints/last.ckpt", weights_only=True)
        return checkpoint


def assert_same_runs(run: Training, whole: Training) -> None:
    one, other = run.last(), whole.last()
    for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
        assert_same(one[part], other[part], part)
    rows = [(each.folder / "metrics.csv").read_text().splitlines() for each in (run, whole)]
    assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def wholes(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Training]:
    """The runs that nothing interrupts."""
    found = {}
    for experiment, processes in itertools.product((SSD, FASTER_RCNN), (1, 2)):
        folder = tmp_path_factory.mktemp("whole") / "run"
        training = Training(folder, root, experiment, processes, "data.num_workers=0")
        assert training.finish()["global_step"] == STEPS
        found[experiment, processes] = training
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("experiment", [SSD, FASTER_RCNN])
def test_ends_of_every_kind(
    wholes: dict[tuple[str, int], Training],
    root: Path,
    tmp_path: Path,
    experiment: str,
    processes: int,
    workers: int,
) -> None:
    run = Training(tmp_path / "run", root, experiment, processes, f"data.num_workers={workers}")
    draw = random.Random(f"{experiment} {processes} {workers}")
    steps = [run.end(draw, how) for how in draw.sample(list(ENDS), 3)]
    assert steps == sorted(steps)
    run.finish()
    assert_same_runs(run, wholes[experiment, processes])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [SSD, FASTER_RCNN])
def test_rare_classes_and_one_cycle_on_two_processes(root: Path, tmp_path: Path, experiment: str) -> None:
    """An epoch that grows, weights in the losses and a schedule of its own, ended twice in the middle."""
    sampled = ("data.sampling=repeat_factor", "data.sampling_threshold=0.9", "model.class_weights={star: 3}")
    words = (*sampled, "scheduler=one_cycle", "data.num_workers=0")
    runs = [Training(tmp_path / name, root, experiment, 2, *words) for name in ("run", "whole")]
    for run in runs:
        run.words.remove("scheduler.warmup_steps=0")
    steps = runs[1].finish()["global_step"]
    assert steps > STEPS, "images are repeated"
    draw = random.Random(experiment)
    assert 0 < runs[0].end(draw, signal.SIGTERM) < steps
    runs[0].end(draw, signal.SIGKILL)
    runs[0].finish()
    assert_same_runs(*runs)


@pytest.mark.slow
def test_twenty_kills(root: Path, tmp_path: Path) -> None:
    words = ("data.num_workers=1", "trainer.max_epochs=24")
    whole = Training(tmp_path / "whole", root, SSD, 1, *words)
    whole.finish()
    run, draw = Training(tmp_path / "run", root, SSD, 1, *words), random.Random(20)
    steps = [run.end(draw, draw.choice([signal.SIGKILL, signal.SIGTERM])) for _ in range(20)]
    assert steps == sorted(steps)
    run.finish()
    assert_same_runs(run, whole)
