"""The demos of the README, whole: minutes each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_quickstart_learns_the_shapes(tmp_path: Path) -> None:
    command = [sys.executable, "train.py", "experiment=quickstart", f"data.root={tmp_path}/data"]
    subprocess.run([*command, f"hydra.run.dir={tmp_path}/run"], cwd=ROOT, check=True)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= 0.90
