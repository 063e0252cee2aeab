"""Any path passes Hydra's grammar."""

import shlex
import sys
from pathlib import Path

import hypothesis
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import strategies as st

from detection.cli.entry import take_run_dir
from detection.cli.quoting import as_value, quote_words
from detection.system.processes import as_typed


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
    quote_words()
    override = OverridesParser.create().parse_override(sys.argv[1])
    assert override.key_or_group == "source"
    assert override.value() == value


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", "source=~/photos"])
    quote_words()
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == str(Path.home() / "photos")


def test_a_tilde_before_no_user_is_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", "source=~nobody-of-this-name.jpg"])
    quote_words()
    read = OverridesParser.create().parse_override(sys.argv[1]).value()
    assert read == str(Path.cwd() / "~nobody-of-this-name.jpg")


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
    quote_words()
    assert sys.argv == ["predict", word]


def test_a_sweep_keeps_its_list_and_one_run_takes_a_comma_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "data.root=a,b"])
    quote_words()
    assert sys.argv[2] == "data.root=a,b"
    monkeypatch.setattr(sys, "argv", ["train.py", "data.root=a,b"])
    quote_words()
    assert sys.argv[1] == "data.root='a,b'"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("Fußgänger", "Fußgänger"),
        ("it's", "it's"),
        ("[dog,Fußgänger]", ["dog", "Fußgänger"]),
        ("[ dog , 日本 ]", ["dog", "日本"]),
        ("[screw [m4],R&D,hot dog,12]", ["screw [m4]", "R&D", "hot dog", 12]),
        ('["a, b",Fuß]', ["a, b", "Fuß"]),
        ("[x(1),don't]", ["x(1)", "don't"]),
        ("{Fußgänger:person}", "{Fußgänger:person}"),  # read as pairs where pairs are asked for
    ],
)
def test_names_need_no_quotes_of_hydras(value: str, read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", f"data.classes={value}"])
    quote_words()
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == read


@pytest.mark.parametrize("value", ["[a,b", "[[a],[ß]]", "choice(ß,b)", "[a,b]", "0.1", "a,b", "glob(*)"])
def test_what_hydra_reads_or_nobody_stays(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", f"data.classes={value}"])
    quote_words()
    assert sys.argv[1] == f"data.classes={value}"


def test_several_runs_are_quoted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "name=a,Fuß"])
    quote_words()
    assert sys.argv[2] == "name=a,'Fuß'"


@hypothesis.given(
    st.sampled_from(["data.root=", "name=", "data.classes="]),
    st.lists(st.text("aZ0 .ßü日-_/()[]{}&#;=,~'\"\\:", min_size=1, max_size=6), min_size=1, max_size=3),
    st.booleans(),
)
def test_what_is_printed_to_be_pasted_means_the_same(key: str, parts: list[str], is_list: bool) -> None:
    typed = f"{key}[{','.join(parts)}]" if is_list else f"{key}{parts[0]}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["train.py", typed])
        quote_words()
        read = sys.argv[1:]
        sys.argv[1:] = shlex.split(as_typed(read))
        quote_words()
        assert sys.argv[1:] == read


def test_a_command_to_paste_has_no_quotes_of_hydras() -> None:
    words = ["data.root='my/Fotos (1)'", "data.classes=[dog,'Fußgänger']", "name='12'"]
    assert (
        as_typed(words) == """'data.root=my/Fotos (1)' 'data.classes=[dog,Fußgänger]' 'name='"'"'12'"'"''"""
    )


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


@pytest.mark.parametrize(
    "value",
    ["cat", "12", "true", "null", "", "a, b", "it's", "日本", 12, 0.5, True, None, ["12", "a, b", "x(1)", 3]],
)
def test_a_value_is_typed_so_that_hydra_reads_it_back(value: object) -> None:
    read = OverridesParser.create().parse_override(f"key={as_value(value)}").value()
    assert (read, type(read)) == (value, type(value))
