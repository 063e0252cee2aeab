"""A long run takes no more memory in the end than in the beginning."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EPOCHS = 50
GROWTH = 1.03  # after the second epoch


# train.py; after the seventh and the last epoch the main process gives back what it holds in reserve, and
# says so. Images of many shapes leave its allocator with gaps, more of them for some twenty epochs, though
# nothing is lost.
TRIMMING = """
import ctypes, runpy, sys
import pytorch_lightning as pl

class Trim(pl.Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch in (6, trainer.max_epochs - 1):
            ctypes.CDLL(None).malloc_trim(0)
            print("trimmed", flush=True)

make = pl.Trainer.__init__
def make_trimming(self, *args, callbacks=(), **kwargs):
    make(self, *args, callbacks=[*callbacks, Trim()], **kwargs)

pl.Trainer.__init__ = make_trimming
runpy.run_path("train.py", run_name="__main__")
"""


def resident(pid: int) -> int:
    """Resident KiB of a process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Rss:\s+(\d+)", rollup, re.MULTILINE)[0])


def resident_of_family(pid: int) -> int:
    """Resident KiB of a process and of those that it started."""
    family = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # the thread has ended meanwhile
            family += map(int, (thread / "children").read_text().split())
    total = 0
    for member in family:
        with suppress(OSError):  # a short-lived helper has ended meanwhile
            total += resident(member)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_fifty_epochs_do_not_grow(tmp_path: Path, experiment: str) -> None:
    overrides = [f"experiment={experiment}", "trainer=cpu", f"trainer.max_epochs={EPOCHS}"]
    overrides += [f"data.num_{split}={count}" for split, count in (("train", 16), ("val", 6), ("test", 6))]
    overrides += ["data.batch_size=4", "data.num_workers=2", f"data.root={tmp_path / 'shapes'}"]
    overrides += ["callbacks.predictions.every_n_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", TRIMMING, *overrides],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    family, trimmed = [], []
    for line in process.stdout:
        if line.startswith("val/map"):
            family.append(resident_of_family(process.pid))
        if line.startswith("trimmed"):
            trimmed.append(resident(process.pid))
    assert process.wait(120) == 0
    assert len(family) == EPOCHS
    # A picture that is just being drawn makes an epoch dear: the cheapest of a few is what stays. At the line
    # of the last epoch the loader's processes may be gone.
    pairs = {"all processes": (min(family[2:7]), min(family[-6:-1])), "main process, trimmed": trimmed}
    for name, (early, late) in pairs.items():
        print(f"{experiment}, {name}: {early / 1024:.0f} MiB, {late / 1024:.0f} MiB after the last epoch")
        assert late <= GROWTH * early
