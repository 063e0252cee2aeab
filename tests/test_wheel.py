"""What `pip install` gives: the wheel, unpacked away from the repository, in a folder of the user's."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from detection.__main__ import VERBS

ROOT = Path(__file__).parent.parent
PLUGIN = """
from detection.models.backbones import TinyBackbone
from detection.registry import register


@register
class MyBackbone(TinyBackbone):
    pass
"""
OWN_DATA = """
defaults: [shapes]
num_train: 8
num_val: 2
num_test: 2
"""
OWN_EXPERIMENT = """
# @package _global_
defaults:
  - quickstart
  - override /data: own
data: {size: 96, num_train: 8, batch_size: 4}
plugins: [my_parts]
model: {backbone: {_target_: my_parts.MyBackbone}}
"""


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
    """A user's folder, with a recipe, data and a backbone of his own."""
    place = tmp_path_factory.mktemp("place")
    for path, text in (
        ("my_parts.py", PLUGIN),
        ("conf/data/own.yaml", OWN_DATA),
        ("conf/experiment/own.yaml", OWN_EXPERIMENT.lstrip()),
    ):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place


def run(installed: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detection", *words],
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
    assert "2 devices x 1 part x 2 images" in trained.stdout
    assert (place / "run/checkpoints/best.ckpt").is_file()
    (photos,) = place.glob("datasets/**/JPEGImages")
    source = f"source={photos}"
    found = run(installed, place, "predict", "ckpt=run", source, "plugins=[my_parts]", "output=found")
    assert found.returncode == 0, found.stdout + found.stderr
    assert any((place / "found").iterdir())


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
