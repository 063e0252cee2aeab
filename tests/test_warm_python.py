"""Commands that fork from a warm Python are processes like any other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warm_python import warm_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commands start as ever elsewhere")


def start(folder: Path, program: str, *words: str) -> "subprocess.Popen[str]":
    (folder / "program.py").write_text(program)
    return subprocess.Popen(
        [*warm_python(), "program.py", *words],
        cwd=folder,
        env={**os.environ, "COLOUR": "grün"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_what_a_command_gets_and_gives_is_its_own(tmp_path: Path) -> None:
    program = """
import atexit, os, sys
import neighbour
assert sys.orig_argv == [sys.executable, *sys.argv]
assert "torch" in sys.modules and "detection" not in sys.modules and "tests" not in sys.modules
atexit.register(print, "over")
print(sys.argv, os.getcwd(), os.environ["COLOUR"], __name__, __file__, input())
sys.exit("a sentence")
"""
    (tmp_path / "neighbour.py").touch()
    printed, errors = start(tmp_path, program, "a b", "c").communicate("asked\n", timeout=120)
    assert printed.splitlines() == [
        f"['program.py', 'a b', 'c'] {tmp_path} grün __main__ program.py asked",
        "over",
    ]
    assert errors == "a sentence\n"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("1 / 0", 1),
        ("import os; os._exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 11)", -11),
    ],
)
def test_exit_codes(tmp_path: Path, program: str, code: int) -> None:
    process = start(tmp_path, program)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert ("ZeroDivisionError" in errors) == (program == "1 / 0")


def test_a_module(tmp_path: Path) -> None:
    (tmp_path / "a_module.py").write_text("import sys; print(sys.argv[1:], __spec__.name)")
    done = subprocess.run(
        [*warm_python(), "-m", "a_module", "x"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['x'] a_module\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_signals_reach_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    program = """
import time
try:
    print(1, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    process = start(tmp_path, program)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code


def test_it_and_its_children_die_with_the_process_that_was_started(tmp_path: Path) -> None:
    program = "import os, time; os.fork(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)"
    process = start(tmp_path, program)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.communicate(timeout=20)
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):  # that of a dead process leads nowhere
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_program_that_it_starts_by_the_interpreters_name_is_warm_too(tmp_path: Path) -> None:
    """As Lightning, torchrun and sweeps start theirs. Code and options have an interpreter of their own."""
    program = """
import subprocess, sys
if len(sys.argv) > 1:
    print("warm" if "torch" in sys.modules else "cold", sys.argv[1])
else:
    for words in (["program.py", "file"], ["-m", "program", "module"], ["-u", "program.py", "unbuffered"],
                  ["-P", "program.py", "option"], ["-c", "print('code')"]):
        print(subprocess.run([sys.executable, *words], text=True, capture_output=True).stdout, end="")
"""
    printed, errors = start(tmp_path, program).communicate(timeout=120)
    assert errors == ""
    assert printed.splitlines() == ["warm file", "warm module", "warm unbuffered", "cold option", "code"]
