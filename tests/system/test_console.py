"""What is told on a terminal while somebody waits."""

import sys
import time

import pytest

from detection.system.console import told_if_slow


@pytest.mark.parametrize(
    ("terminal", "takes", "told"), [(True, 0.3, "Loading ...\n"), (True, 0, ""), (False, 0.3, "")]
)
def test_what_takes_long_is_told_on_a_terminal(
    terminal: bool,
    takes: float,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with told_if_slow("Loading ...", seconds=0.1):
        time.sleep(takes)
    time.sleep(0.15)
    assert capsys.readouterr().out == told
