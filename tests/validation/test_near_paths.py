"""Paths that are not there, and what is near them."""

import os
from pathlib import Path

import pytest

from detection.validation.near_paths import as_found, beside


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Photos/Zoo").mkdir(parents=True)
    (tmp_path / "Photos/Zoo/img001.JPG").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_path_in_another_spelling_is_found(place: Path) -> None:
    expected = str(place / "Photos/Zoo/img001.JPG")
    assert as_found(f"{place}/photos/zoo/IMG001.jpg") == expected
    assert as_found(f"{place}\\Photos\\Zoo\\img001.JPG".replace("/", "\\")) == expected
    assert as_found(f"file://{expected}") == expected
    assert as_found(r"photos\zoo") == "Photos/Zoo"


def test_what_is_there_stays_and_nothing_is_guessed(place: Path) -> None:
    (place / "PHOTOS").mkdir()
    assert as_found("Photos") is None
    assert as_found("photos") is None  # two would do
    assert as_found("Photos/Zoo/img001.png") is None
    assert as_found("") is None
    assert as_found("torchvision/ssd300_vgg16") is None


def test_what_lies_beside_is_told(place: Path) -> None:
    zoo = place / "Photos/Zoo"
    assert beside(zoo / "img001.png") == f"; there is {zoo}/img001.JPG"
    assert beside(zoo / "img01.JPG") == f"; there is {zoo}/img001.JPG"
    assert beside(place / "Photo/Zoo/img001.JPG") == f"; there is {place}/Photos"
    assert beside(zoo / "something.else") == ""


def test_a_checkpoint_that_is_not_here_is_the_newest_runs(place: Path) -> None:
    assert beside("best.ckpt") == ""
    for age, name in enumerate(("new", "old")):
        path = place / f"runs/ssd/{name}/checkpoints/best.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert beside("best.ckpt") == "; the newest run has runs/ssd/new/checkpoints/best.ckpt"
    assert beside("best") == "; the newest run has runs/ssd/new/checkpoints/best.ckpt"
