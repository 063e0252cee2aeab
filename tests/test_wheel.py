"""What `pip install` gives: the wheel, unpacked away from the repository, in a folder of the user's."""

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from detection.__main__ import VERBS
from detection.data.formats.voc_folder import read_voc
from detection.data.shapes import write_shapes
from tests.pages import block

ROOT = Path(__file__).parent.parent
PARTS = '''
import pytorch_lightning as pl

from detection.models.backbones import TinyBackbone
from detection.registry import register


@register
class MyBackbone(TinyBackbone):
    """A backbone."""


class CountImages(pl.Callback):
    """A callback."""

    def __init__(self):
        self.count = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.count += len(batch.images)

    def on_train_end(self, trainer, pl_module):
        print(f"Trained on {self.count} images.")


class LinesLogger(pl.loggers.CSVLogger):
    """Another tracker of experiments."""
'''
COMMAND = """
import hydra
from hydra.utils import instantiate

from detection.cli.compose import CONF, checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.settings import Train


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(cfg):
    config = checked_config(cfg, Train)
    with errors_in_a_sentence():
        data = instantiate(config["data"])
        data.setup()
        print({split: len(dataset) for split, dataset in data.datasets.items()})


if __name__ == "__main__":
    run_with_hints(main)
"""
# CONTRIBUTING's table "To add" names these files; the data format is that of the documentation.
OWN = {
    "my_parts.py": PARTS,
    "my_format.py": block("how-to/plugins.md", "class CSVDataModule"),
    "my_count.py": COMMAND,
    "conf/model/backbone/mine.yaml": "_target_: my_parts.MyBackbone\n",
    "conf/data/csv.yaml": block("how-to/plugins.md", "my_format.CSVDataModule"),
    "conf/callbacks/count.yaml": "count: {_target_: my_parts.CountImages}\n",
    "conf/logger/lines.yaml": 'lines: {_target_: my_parts.LinesLogger, save_dir: "${run_dir}/lines"}\n',
    "conf/experiment/own.yaml": """\
# @package _global_
defaults:
  - override /data: csv
  - override /model/backbone: mine
  - override /callbacks: [default, count]
  - override /logger: [csv, lines]
data: {root: set, size: 96, batch_size: 4, num_workers: 1}
optimizer: {lr: 0.001}
trainer: {max_epochs: 1}
plugins: [my_parts, my_format]
""",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed package."""
    built, installed = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    return installed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with a recipe and parts of his own, and a set in a format of his own."""
    place = tmp_path_factory.mktemp("place")
    for path, text in OWN.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    generated = write_shapes(place / "generated", 8, 2, 2, size=96)
    tables = {split: read_voc(generated, [("Shapes", split)]).records for split in ("train", "val", "test")}
    (generated / "Shapes/JPEGImages").rename(place / "set")
    for split, records in tables.items():
        rows = [
            f"{record.path.name},{item.name},{','.join(map(str, item.box))}\n"
            for record in records
            for item in record.objects
        ]
        (place / f"set/{split}.csv").write_text("image,class,x1,y1,x2,y2\n" + "".join(rows))
    return place


def run(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(installed, place, "-m", "detection", *words)


def python(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        check=False,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_holds_everything_that_the_commands_read(installed: Path) -> None:
    for folder, pattern in (("conf", "conf/**/*.yaml"), ("detection", "detection/**/*.*")):
        for path in (ROOT / folder).glob(pattern.partition("/")[2]):
            if path.is_file() and path.suffix != ".pyc":
                inside = f"detection/{path.relative_to(ROOT)}" if folder == "conf" else path.relative_to(ROOT)
                assert (installed / inside).read_bytes() == path.read_bytes()
    assert not [path for path in installed.iterdir() if path.name.startswith(("tests", "train"))]


@pytest.mark.parametrize("verb", VERBS)
def test_each_command_tells_its_settings(verb: str, installed: Path, place: Path) -> None:
    shown = run(installed, place, verb, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"detection {verb}" in shown.stdout
    assert "python -m" not in shown.stdout
    assert "train.py" not in shown.stdout


def test_a_users_own_parts_train_on_two_processes_and_are_found_again(installed: Path, place: Path) -> None:
    words = ("experiment=own", "trainer.max_epochs=1", "trainer=ddp_cpu", "trainer.devices=2", "run_dir=run")
    trained = run(installed, place, "train", "--config-dir", "conf", *words)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "2 devices x 2 images" in trained.stdout
    assert "Trained on 2 images." in trained.stdout, "half of the one step on each process"
    assert (place / "run/checkpoints/best.ckpt").is_file()
    assert list((place / "run/lines").rglob("metrics.csv")), "the other tracker has the metrics, too"
    suggested = next(line for line in trained.stdout.splitlines() if line.startswith("  detection evaluate"))
    evaluated = run(installed, place, *shlex.split(suggested)[1:], "run_dir=evaluated", "trainer=cpu")
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    source = ("source=set", "output=found")
    found = run(installed, place, "predict", "ckpt=run", *source, "plugins=[my_parts]")
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(list((place / "found/images").glob("*.jpg"))) == 12


@pytest.mark.slow
def test_a_command_of_ones_own_reads_the_same_configuration(installed: Path, place: Path) -> None:
    words = ("--config-dir", "conf", "experiment=own", "run_dir=counted")
    counted = python(installed, place, "my_count.py", *words)
    assert counted.stdout.endswith("{'train': 6, 'val': 2, 'test': 2}\n"), counted.stdout + counted.stderr
    refused = python(installed, place, "my_count.py", *words, "data.num_worker=1")
    assert "data.num_worker: no such key; did you mean data.num_workers" in refused.stderr


def test_an_unknown_command_is_answered_in_a_sentence(installed: Path, place: Path) -> None:
    refused = run(installed, place, "trian")
    assert refused.returncode == 1
    assert refused.stderr.startswith("detection trian: no such command; did you mean 'train'?")
    assert run(installed, place, "--version").stdout.startswith("lightning-detection ")


COMPLETE = """
eval "$(detection completion)"
COMP_LINE="$TYPED" COMP_POINT=${#TYPED} COMP_WORDS=($TYPED) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_detection
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("detection tr", {"train"}),
        ("detection train optimizer=", {"optimizer=adamw", "optimizer=sgd"}),
        ("detection train seed=1 trainer.max_e", {"trainer.max_epochs="}),
    ],
)
def test_tab_completes_verbs_and_settings(typed: str, words: set[str], place: Path) -> None:
    if not (bin_folder := Path(sys.executable).parent).joinpath("detection").exists():
        pytest.skip("the console command is not installed")
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETE],
        env={**os.environ, "PATH": path, "TYPED": typed},
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {word.strip() for word in done.stdout.splitlines()} == words


@pytest.mark.slow
def test_a_sweep_starts_its_jobs_from_the_installed_package(installed: Path, place: Path) -> None:
    words = ("experiment=own", "trainer.max_epochs=1", "trainer=cpu", "trainer.devices=1", "seed=1,2")
    swept = run(
        *(installed, place, "train", "-m", "--config-dir", "conf", *words),
        *("hydra.sweep.dir=sweep",),
    )
    assert swept.returncode == 0, swept.stdout + swept.stderr
    for job in ("0", "1"):
        assert (place / "sweep" / job / "metrics.json").is_file()
