"""Rows 16 and 20: how soon a command answers, in processes of their own."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks.harness import Benchmark, Result, counted, timed
from detection.cli.compose import checked_config, inference_config, model_config

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


def predict() -> Iterator[Result]:
    """Row 20: one photograph, from the start of the process to the picture with its boxes."""
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        words = [f"ckpt={_checkpoint(Path(folder))}", f"source={folder}/photo.jpg", f"output={folder}/out"]
        cv2.imwrite(f"{folder}/photo.jpg", np.full((375, 500, 3), 127, np.uint8))
        ours = ["-m", "detection.predict", *words, "device=cpu", "overwrite=true", "threshold=0.1"]
        spent: dict[str, list[float]] = {"predict": [], "import": []}
        for _ in range(3):
            for name, arguments in (("predict", ours), ("import", ["-c", "import torch, torchvision"])):
                start = _seconds_of_children()
                done = _run(arguments)
                spent[name].append(_seconds_of_children() - start)
                assert done.returncode == 0, done.stderr
        assert Path(folder, "out/images/photo.jpg").exists()
    above = statistics.median(a - b for a, b in zip(spent["predict"], spent["import"], strict=True))
    work = "predict, one photograph, above import torch, torchvision (the peer)"
    yield counted("20", work, 1000 * above, 1000, "ms", 1000 * statistics.median(spent["import"]))


def _checkpoint(folder: Path) -> Path:
    """The detector of the quickstart, untrained."""
    with initialize_config_dir(str(_ROOT / "conf"), version_base="1.3"):
        words = ["experiment=quickstart", "run_dir=/nowhere", "name=start"]
        config = checked_config(compose("train", overrides=words))
    model = model_config(config, ["circle", "square"], None)
    task = instantiate(model)
    task.describe(model=model, data=inference_config(config["data"]))
    torch.save(
        {"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, folder / "start.ckpt"
    )
    return folder / "start.ckpt"


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


ROWS: dict[str, Benchmark] = {"16": start, "20": predict}
