"""The demos of the README, whole: minutes each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("experiment", "least"), [("quickstart", 0.90), ("quickstart_faster_rcnn", 0.85)])
def test_it_learns_the_shapes(tmp_path: Path, experiment: str, least: float) -> None:
    command = [sys.executable, "train.py", f"experiment={experiment}", f"data.root={tmp_path}/data"]
    subprocess.run([*command, f"hydra.run.dir={tmp_path}/run"], cwd=ROOT, check=True)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= least
