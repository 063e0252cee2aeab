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


def memory(pid: int) -> int:
    """Resident KiB of a process and of those that it started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    family = [pid, *(int(child) for task in threads for child in (task / "children").read_text().split())]
    total = 0
    for member in family:
        with suppress(OSError):  # a short-lived helper has ended meanwhile
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
            total += int(re.findall(r"^Rss:\s+(\d+)", rollup, re.MULTILINE)[0])
    return total


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_fifty_epochs_do_not_grow(tmp_path: Path, experiment: str) -> None:
    overrides = [f"experiment={experiment}", "trainer=cpu", f"trainer.max_epochs={EPOCHS}"]
    overrides += [f"data.num_{split}={count}" for split, count in (("train", 16), ("val", 6), ("test", 6))]
    overrides += ["data.batch_size=4", "data.num_workers=2", f"data.root={tmp_path / 'shapes'}"]
    overrides += ["callbacks.predictions.every_n_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *overrides],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    measured = [memory(process.pid) for line in process.stdout if line.startswith("val/map")]
    assert process.wait(120) == 0
    assert len(measured) == EPOCHS
    # A picture that is just being drawn makes an epoch dear: the cheapest of a few is what stays.
    early, late = min(measured[2:7]), min(measured[-5:])
    print(
        f"{experiment}: {early / 1024:.0f} MiB after the second epoch, {late / 1024:.0f} MiB after the last"
    )
    assert late <= GROWTH * early
