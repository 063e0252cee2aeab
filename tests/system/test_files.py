"""Files that are whole, in UTF-8, and names that any disk takes."""

import ast
import json
import multiprocessing
import os
from contextlib import suppress
from pathlib import Path

import pytest

from detection.system.files import (
    file_names,
    is_alive,
    read_history,
    refuse_unwritable,
    write_text,
    written_whole,
)

PACKAGE = Path(__file__).parents[2] / "detection"
NAMES = [
    "cat",
    "Bowl/Basin",
    "..",
    ".",
    "",
    "a\0b",
    "a\nb",
    'say "x"',
    "🚗 car",
    "x" * 500,
    "x" * 501,
    "CAT",
    "c:d",
]


def test_each_class_has_a_file_of_its_own(tmp_path: Path) -> None:
    safe = file_names(NAMES)
    for name, file_name in zip(NAMES, safe, strict=True):
        (tmp_path / f"det_{file_name}.txt").write_text(repr(name), encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == len(NAMES)
    assert len({name.casefold() for name in safe}) == len(NAMES), "on a disk that ignores case too"
    assert safe[0] == "cat"
    assert safe[1] == "Bowl%2FBasin"


def test_a_file_is_in_utf_8_and_nothing_is_left_beside(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", json.dumps({"class": "Straße"}, ensure_ascii=False))
    write_text(tmp_path / "a.json", "Straße \udcc3\udc9f")  # the second as a locale without letters reads it
    assert (tmp_path / "a.json").read_bytes().decode() == "Straße ß"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_fails_leaves_the_file_before(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "before")
    with suppress(RuntimeError), written_whole(tmp_path / "a") as written:
        written.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert (tmp_path / "a").read_text(encoding="utf-8") == "before"
    assert len(list(tmp_path.iterdir())) == 1


def _write_often(path: Path, letter: str) -> None:
    for _ in range(60):
        write_text(path, letter * 100_000)


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(tmp_path / "a", letter)) for letter in "xy"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "a").exists():
            content = (tmp_path / "a").read_text(encoding="utf-8")
            assert len(content) == 100_000
            assert len(set(content)) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_who_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert is_alive(os.getpid())
    assert not is_alive(child)
    monkeypatch.setattr("os.name", "nt")
    monkeypatch.delattr("os.kill")  # which would end a process there
    assert is_alive(child)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0\0", b"a,b\n1,2\n", b'step,a\n"x', b"step,a\n" + b"x" * 200_000]
)
def test_a_history_that_is_none_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    assert read_history(tmp_path / "metrics.csv") == []
    assert read_history(tmp_path / "missing.csv") == []


def _opens_text(call: ast.Call) -> bool:
    """Whether a call opens a text file and leaves its encoding to the locale."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = getattr(call.func, "value", None)
    modes = [part.value for word in call.args for part in ast.walk(word) if isinstance(part, ast.Constant)]
    named = {word.arg for word in call.keywords}
    if name in ("write_text", "read_text"):
        return isinstance(call.func, ast.Attribute) and "encoding" not in named
    is_file = name == "open" and getattr(owner, "id", "") not in (
        "os",
        "Image",
        "tarfile",
        "webbrowser",
        "av",
    )
    binary = any("b" in str(mode) for mode in modes)
    return is_file and not binary and "encoding" not in named


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_file_is_opened_in_the_locale_s_encoding(path: Path) -> None:
    calls = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    assert [call.lineno for call in calls if _opens_text(call)] == []


def test_a_folder_that_cannot_be_written_is_refused_with_the_key(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "new/folder", "output")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/run cannot be written to \(.*file is a file\): .*run_dir="):
        refuse_unwritable(tmp_path / "file/run", "run_dir")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a disk that nobody can write to")
def test_a_disk_that_takes_no_files_is_one_too() -> None:
    with pytest.raises(OSError, match=r"^/proc/run cannot be written to \(.*\): name another, output="):
        refuse_unwritable(Path("/proc/run"), "output")
