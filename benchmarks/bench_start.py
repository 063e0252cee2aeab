"""Row 16: how soon ``train.py`` answers a question and a mistake, in processes of their own."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Result, timed

_ROOT = Path(__file__).parents[1]
# What a training run needs, imported before the first word is read.
_EAGER = "import hydra, torch, torchvision, pytorch_lightning, torchmetrics, albumentations, cv2, wandb"
# train.py with this program's words, which fails where that imports torch.
WITHOUT_TORCH = """
import runpy, sys
sys.argv = ["train.py", *sys.argv[1:]]
try:
    runpy.run_path("train.py", run_name="__main__")
except SystemExit as stop:
    print(stop.code)
assert "torch" not in sys.modules, "torch was imported"
"""


def start() -> Iterator[Result]:
    """Row 16."""
    for work, arguments in (("--help", ["--help"]), ("a mistyped key", ["trainer.max_epoch=3"])):
        checked = _run(["-c", WITHOUT_TORCH, *arguments])
        assert checked.returncode == 0, checked.stderr
        yield timed(
            "16",
            f"train.py: {work}; against importing what a training needs",
            partial(_run, ["train.py", *arguments]),
            partial(_run, ["-c", _EAGER]),
            0.10,
            rounds=3,
            clock=_seconds_of_children,
        )


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


ROWS: dict[str, Benchmark] = {"16": start}
