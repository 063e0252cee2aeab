"""``python -m detection.share`` as its user meets it: a folder, a hub, and the commands that open both."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub import Hub, environment
from tests.sharing.run_folder import write_run
from tests.test_predict import noise
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def ckpt(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    best = write_run(tmp_path_factory.mktemp("runs") / "run")
    written = write_checkpoint(tmp_path_factory.mktemp("trained"), "quickstart", ["cat", "dog"])
    return Path(shutil.move(written, best))


def run(verb: str, *words: str, cwd: Path, more: dict[str, str] | None = None) -> tuple[int, str]:
    """Runs a command, in a Python that has imported nothing where the environment is to be read anew."""
    done = subprocess.run(
        [*((sys.executable,) if more else warm_python()), "-m", f"detection.{verb}", *words],
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(more or {})},
        text=True,
        capture_output=True,
        timeout=240,
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def found_with(ckpt: str, place: Path, more: dict[str, str] | None = None) -> object:
    words = ("source=photo.png", "threshold=0.3", "save=[json]", "device=cpu", "overwrite=true")
    code, told = run("predict", f"ckpt={ckpt}", *words, "output=found", cwd=place, more=more)
    assert code == 0, told
    return json.loads((place / "found/detections.json").read_text())["images"]


def test_a_shared_folder_predicts_as_the_checkpoint_of_the_run(ckpt: Path, tmp_path: Path) -> None:
    noise(90, 120).save(tmp_path / "photo.png")
    code, told = run("share", f"ckpt={ckpt.parents[1]}", "output=pets", "license=mit", cwd=tmp_path)
    assert code == 0, told
    assert "Written to pets: README.md, detector.json, model.safetensors, predictions.png." in told
    assert "ckpt=pets source=PHOTOS" in told
    assert "(predictions.png)" in (tmp_path / "pets/README.md").read_text()
    wanted = found_with(str(ckpt), tmp_path)
    assert wanted
    assert found_with("pets", tmp_path) == wanted
    code, told = run("share", f"ckpt={ckpt}", "output=pets", cwd=tmp_path)
    assert (code, "output=pets exists already" in told) == (1, True)


@pytest.mark.slow
def test_a_detector_goes_to_a_hub_and_comes_from_it(ckpt: Path, hub: Hub, tmp_path: Path) -> None:
    noise(90, 120).save(tmp_path / "photo.png")
    more = environment(hub, tmp_path / "cache")
    code, told = run("share", f"ckpt={ckpt}", "output=pets", "repo=user/pets", cwd=tmp_path, more=more)
    assert code == 0, told
    assert "detection predict ckpt=hf://user/pets@" in told
    written = {path.name: path.read_bytes() for path in (tmp_path / "pets").iterdir()}
    assert written == hub.repositories["user/pets"][0]
    assert found_with("hf://user/pets", tmp_path, more) == found_with(str(ckpt), tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["repo=name"], "repo=name: give the user and the name, such as repo=user/name."),
        (["license=my own"], "license=my own: give it as the hub names it, such as apache-2.0."),
        (["ckpt=none.ckpt"], "none.ckpt: there is no such checkpoint"),
    ],
)
def test_a_mistake_is_a_sentence_and_writes_nothing(
    words: list[str], sentence: str, ckpt: Path, tmp_path: Path
) -> None:
    given = [] if words[0].startswith("ckpt=") else [f"ckpt={ckpt}"]
    code, told = run("share", *given, "output=pets", *words, cwd=tmp_path)
    assert code == 1
    assert sentence in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "photo.png").touch()
    place = tmp_path / "file/new"
    for verb, key, words in (
        ("share", "output", ["ckpt=none.ckpt", f"output={place}/pets"]),
        ("export", "output", ["ckpt=none.ckpt", f"output={place}/pets.onnx"]),
        ("predict", "output", ["ckpt=none.ckpt", "source=photo.png", f"output={place}"]),
        ("convert", "out", ["from=voc", "to=coco", "root=none", f"out={place}/pets"]),
        ("check", "output", ["data.root=none", "fix=true", f"output={place}/pets"]),
        ("check", "run_dir", ["data.root=none", f"run_dir={place}"]),
    ):
        code, told = run(verb, *words, cwd=tmp_path)
        assert code == 1
        assert (
            told == f"{place} cannot be written to ({tmp_path / 'file'} is a file): name another, {key}=...\n"
        )
