"""A search that is killed and continued, through Hydra, with a job that costs nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

ROOT = Path(__file__).parent.parent.parent
APP = """
import json, math, os, sys, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
from detection.cli.entry import run_with_hints

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(cfg):
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "started").touch()
    while Path("hold").exists() and HydraConfig.get().job.num == 2:
        time.sleep(0.1)
    if HydraConfig.get().job.num == 1:
        (folder / "error.txt").write_text("Boom")
        return math.nan
    if HydraConfig.get().job.num == 0:
        (folder / "pruned.txt").touch()
    (folder / "metrics.json").write_text(json.dumps({"val/map": cfg.x}))
    return cfg.x

run_with_hints(main, "app")
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: optuna
x: 0
kind: a
optimized_metric: val/map
optimized_direction: maximize
hydra:
  searchpath: ["file://{conf}"]
  mode: MULTIRUN
  sweep: {{dir: sweep}}
  callbacks: {{sweep_report: {{_target_: detection.sweeps.report.SweepReport}}}}
  sweeper:
    params: {{x: "tag(log,interval(0.001,1))", kind: "choice(a,b)"}}
    n_trials: 5
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conf/app.yaml").write_text(CONFIG.format(conf=ROOT / "conf"))
    return tmp_path


def start(app: Path, *overrides: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "app.py", *overrides],
        cwd=app,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def trials(app: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{app}/sweep/study.db").trials


@pytest.mark.slow
def test_a_killed_search_continues(app: Path) -> None:
    (app / "hold").touch()
    search = start(app)
    for _ in range(600):
        if (app / "sweep/2/started").exists():
            break
        time.sleep(0.1)
    second = start(app)
    printed, _ = second.communicate(timeout=300)
    assert "another process is at work on this sweep" in printed
    assert second.returncode != 0
    os.killpg(search.pid, signal.SIGKILL)
    search.communicate(timeout=60)
    assert [trial.state for trial in trials(app)] == [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]

    (app / "hold").unlink()
    search = start(app)
    printed, _ = search.communicate(timeout=300)
    assert "2 of 5 trials are done. If this sweep is interrupted, the same command with" in printed
    assert "1 of 6 runs failed:\n  1: Boom" in printed
    assert search.returncode == 1
    after = trials(app)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL, *[TrialState.COMPLETE] * 3]
    assert [trial.state for trial in after] == states
    assert after[3].params == after[2].params, "the interrupted trial is repeated"
    assert after[4].params != after[0].params, "the sampler does not begin anew"
    for trial in after[3:]:
        overrides = (app / f"sweep/{trial.number}/.hydra/overrides.yaml").read_text()
        assert f"kind={trial.params['kind']}" in overrides
        assert trial.value == pytest.approx(trial.params["x"])

    search = start(app)
    printed, _ = search.communicate(timeout=300)
    assert "5 of 5 trials are done" in printed
    assert len(trials(app)) == 6


@pytest.mark.slow
def test_another_search_space_is_refused(app: Path) -> None:
    start(app, "hydra.sweeper.n_trials=1").communicate(timeout=300)
    search = start(app, "hydra.sweeper.n_trials=2", "kind=choice(a,b,c)")
    printed, _ = search.communicate(timeout=300)
    assert search.returncode != 0
    assert "begun with another search space" in printed
    assert "Traceback" not in printed
