"""Commands that a test has started and that are running."""

import subprocess
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
