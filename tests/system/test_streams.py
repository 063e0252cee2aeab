"""Output that nobody reads, and letters that it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINTS = """
import sys
from detection.system.streams import make_output_last
make_output_last()
from rich.console import Console
for number in range(20_000):
    print("Straße", number)
    if number % 100 == 0:
        Console().print("rich", number)
        print(number, file=sys.stderr, flush=True)
open(sys.argv[1], "w").write("done")
"""


def program(folder: Path) -> Path:
    path = folder / "prints.py"
    path.write_text(PRINTS, encoding="utf-8")
    return path


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("reader", ["| head -3", "2>&1 | head -3", ">&- 2>&-", "> /dev/full"])
def test_a_program_outlives_its_readers(tmp_path: Path, reader: str, flags: tuple[str, ...]) -> None:
    words = " ".join(flags)
    shell = f"set -o pipefail; {sys.executable} {words} {program(tmp_path)} {tmp_path / 'end'} {reader}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", shell]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (tmp_path / "end").read_text() == "done"
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_letters_that_the_locale_lacks_are_escaped(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    command = [sys.executable, str(program(tmp_path)), str(tmp_path / "end")]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert b"Stra\\xdfe 7\n" in result.stdout
