"""Any path passes Hydra's grammar."""

import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from detection.cli.entry import quote_paths, take_run_dir


@pytest.mark.parametrize(
    "value",
    [
        "photo.jpg",
        "my photos/Zürich (1).jpg",
        "猫.png",
        "a,b.jpg",
        "epoch=3.ckpt",
        "[a].jpg",
        "it's.jpg",
        "''s.jpg",
        "photos/**/*.png",
        r"C:\photos\a.jpg",
        r"C:\photos" + "\\",
        r"odd\'s.jpg",
        "0",
    ],
)
def test_hydra_reads_the_path_that_was_typed(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", f"source={value}"])
    quote_paths()
    override = OverridesParser.create().parse_override(sys.argv[1])
    assert override.key_or_group == "source"
    assert override.value() == value


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", "source=~/photos"])
    quote_paths()
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == str(Path.home() / "photos")


@pytest.mark.parametrize(
    "word",
    [
        "classes=[a,b]",
        "--help",
        "source='ü.jpg'",
        'source="ü.jpg"',
        "source=",
        "ckpt=null",
        "data.root=my/set",
    ],
)
def test_other_words_stay_as_they_are(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", word])
    quote_paths()
    assert sys.argv == ["predict", word]


def test_a_sweep_keeps_its_list_and_one_run_takes_a_comma_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "data.root=a,b"])
    quote_paths()
    assert sys.argv[2] == "data.root=a,b"
    monkeypatch.setattr(sys, "argv", ["train.py", "data.root=a,b"])
    quote_paths()
    assert sys.argv[1] == "data.root='a,b'"


@pytest.mark.parametrize("word", ["run_dir=/new/folder", "++run_dir=/new/folder"])
def test_run_dir_is_the_folder_of_the_run(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ([word], [word, "hydra.run.dir=/new/folder"]):
        monkeypatch.setattr(sys, "argv", ["train.py", *given, "seed=1"])
        take_run_dir()
        assert sys.argv == ["train.py", "seed=1", "hydra.run.dir=/new/folder"]


def test_run_dir_stands_before_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "run_dir=/new", "seed=1", "--config-dir", "conf"])
    take_run_dir()
    assert sys.argv == ["train.py", "seed=1", "hydra.run.dir=/new", "--config-dir", "conf"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run_dir=/a", "hydra.run.dir=/b"], "name the same folder"),
        (["run_dir=/a", "run_dir=/b"], "name the same folder"),
        (["run_dir="], "name a folder"),
        (["run_dir=null"], "name a folder"),
        (["-m", "run_dir=/a"], r"hydra\.sweep\.dir"),
    ],
)
def test_run_dir_is_refused(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    with pytest.raises(SystemExit, match=message):
        take_run_dir()
