"""Rows 16 and 20: how soon a command answers, in processes of their own."""

import resource
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.commands import run, write_checkpoint
from benchmarks.harness import Benchmark, Result, counted, timed

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
        checked = run(["-c", WITHOUT_TORCH, *arguments])
        assert checked.returncode == 0, checked.stderr
        yield timed(
            "16",
            f"train.py: {work}; against importing what a training needs",
            partial(run, ["train.py", *arguments]),
            partial(run, ["-c", _EAGER]),
            0.10,
            rounds=3,
            clock=_seconds_of_children,
        )


def predict() -> Iterator[Result]:
    """Row 20: one photograph, from the start of the process to the picture with its boxes."""
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        words = [
            f"ckpt={write_checkpoint(Path(folder), 'quickstart', ['circle', 'square'])}",
            f"source={folder}/photo.jpg",
            f"output={folder}/out",
        ]
        cv2.imwrite(f"{folder}/photo.jpg", np.full((375, 500, 3), 127, np.uint8))
        ours = ["-m", "detection.predict", *words, "device=cpu", "overwrite=true", "threshold=0.1"]
        spent: dict[str, list[float]] = {"predict": [], "import": []}
        for _ in range(3):
            for name, arguments in (("predict", ours), ("import", ["-c", "import torch, torchvision"])):
                start = _seconds_of_children()
                done = run(arguments)
                spent[name].append(_seconds_of_children() - start)
                assert done.returncode == 0, done.stderr
        assert Path(folder, "out/images/photo.jpg").exists()
    above = statistics.median(a - b for a, b in zip(spent["predict"], spent["import"], strict=True))
    work = "predict, one photograph, above import torch, torchvision (the peer)"
    yield counted("20", work, 1000 * above, 1000, "ms", 1000 * statistics.median(spent["import"]))


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


ROWS: dict[str, Benchmark] = {"16": start, "20": predict}
