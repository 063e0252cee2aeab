"""Commands that a test has started and that are running."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


def wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what a command prints up to a line with this text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text} was not printed: {process.communicate()[1][-3000:]}")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def assert_gone(processes: Sequence[int]) -> None:
    """See that processes are gone, or will be in a moment."""
    deadline = time.monotonic() + 10
    while alive := [pid for pid in processes if is_running(pid)]:
        assert time.monotonic() < deadline, f"{alive} linger"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
