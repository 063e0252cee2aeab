"""Names that rich would read as markup come out of every command letter by letter."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from detection.data.shapes import SHAPE_CLASSES, write_shapes
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
NAMES = ("[/]", "screw [m4]", "[red]", ":car:")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with an odd name, and in it a set with odd classes and a run trained on it."""
    folder = tmp_path_factory.mktemp("markup") / "[bold] [/] :car:"
    root = write_shapes(folder / "set", 8, 3, 0, size=64, seed=0) / "Shapes"
    given = {name: NAMES[number % len(NAMES)] for number, name in enumerate(SHAPE_CLASSES)}
    for path in (root / "Annotations").iterdir():
        text = path.read_text()
        path.write_text(re.sub(r"<name>(\w+)</name>", lambda found: f"<name>{given[found[1]]}</name>", text))
    small = ("data.size=64", "data.batch_size=4", "trainer.max_epochs=1", "scheduler.warmup_steps=0")
    model = ("model=ssd", "model/backbone=tiny", "optimizer=adamw", "trainer=cpu")
    printed = run("train.py", *model, *data(folder), *small, f"run_dir={folder}/run")
    assert f"Kept in {folder}/run:" in printed
    assert_told(printed)
    return folder


def data(folder: Path) -> tuple[str, ...]:
    return ("data=voc_custom", f"data.root={folder}/set/VOCdevkit/Shapes", "data.num_workers=0")


def run(*words: str) -> str:
    result = subprocess.run(
        [*warm_python(), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "220"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Traceback" not in result.stderr
    return result.stdout


def assert_told(printed: str) -> None:
    rows = [re.split("[│┃]", line)[1].strip() for line in printed.splitlines() if re.search("[│┃]", line)]
    assert set(NAMES) <= set(rows), printed


@pytest.mark.slow
def test_evaluate(folder: Path) -> None:
    best = f"ckpt={folder}/run/checkpoints/best.ckpt"
    printed = run(
        "-m",
        "detection.evaluate",
        best,
        *data(folder),
        "split=val",
        "trainer=cpu",
        f"run_dir={folder}/report",
    )
    assert f"Kept in {folder}/report:" in printed
    assert_told(printed)


def test_predict(folder: Path) -> None:
    best, source = (
        f"ckpt={folder}/run/checkpoints/best.ckpt",
        f"source={folder}/set/VOCdevkit/Shapes/JPEGImages",
    )
    printed = run("-m", "detection.predict", best, source, f"output={folder}/found", "threshold=0.01")
    assert f"Written to {folder}/found" in printed
    assert_told(printed.replace("\n ", "\n│ "))


@pytest.mark.slow
def test_check(folder: Path) -> None:
    printed = run(
        "-m", "detection.check", *data(folder), "model/backbone=tiny", "data.size=64", f"run_dir={folder}/c"
    )
    assert f"{folder}/c: report.json" in printed
    assert_told(printed)
