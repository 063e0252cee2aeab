"""A job's command line, its error, and how it ends with its sweep."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from detection.sweeps.job import error_noted, job_command, note_words, run_job, words_of

JOB = {
    "job": {"config_name": "train", "num": 3},
    "runtime": {
        "config_sources": [
            {"provider": "hydra", "path": "hydra.conf"},
            {"provider": "command-line", "path": "/my/conf"},
        ],
        "output_dir": "/with space/and 'quotes'/3",
        "cwd": "/",
    },
    "overrides": {"hydra": ["hydra.mode=MULTIRUN"], "task": ["model=ssd", "optimizer.lr=0.1"]},
    "sweep": {"dir": "runs/sweep"},
}


def test_the_command_runs_this_job_alone_in_its_folder() -> None:
    hydra: Any = OmegaConf.create(JOB)
    command = job_command(hydra)
    assert command[0] == sys.executable
    assert command[1].endswith("train.py")
    assert command[2:6] == ["--config-name", "train", "--config-dir", "/my/conf"]
    overrides = OverridesParser.create().parse_overrides(command[6:])
    last = {override.get_key_element(): override.value() for override in overrides}
    assert last == {
        "hydra.mode": "RUN",
        "model": "ssd",
        "optimizer.lr": 0.1,
        "hydra.run.dir": "/with space/and 'quotes'/3",
        "hydra.sweep.dir": "runs/sweep",
        "hydra.job.num": 3,
        "hydra.output_subdir": None,
    }


def test_a_job_that_dies_leaves_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.json").write_text('{"val/map": 1.0}')  # of an earlier sweep
    job = OmegaConf.merge(
        OmegaConf.create(JOB), {"runtime": {"output_dir": str(tmp_path), "cwd": str(tmp_path)}}
    )
    monkeypatch.setattr("detection.sweeps.job.HydraConfig.get", lambda: job)
    code = "import os; os.kill(os.getpid(), 9)"
    monkeypatch.setattr("detection.sweeps.job.job_command", lambda *_: [sys.executable, "-c", code])
    assert math.isnan(run_job("val/map"))
    assert (tmp_path / "error.txt").read_text() == "The job was ended by SIGKILL (out of memory?).\n"
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("finds", "expected"), [(True, 0.003), (False, 0.5)], ids=["what was found", "the metric"]
)
def test_a_job_gives_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finds: bool, expected: float
) -> None:
    job = OmegaConf.merge(
        OmegaConf.create(JOB), {"runtime": {"output_dir": str(tmp_path), "cwd": str(tmp_path)}}
    )
    code = "from pathlib import Path; "
    code += """Path("found.json").write_text('{"optimizer.lr": 0.003}'); """ if finds else ""
    code += """Path("metrics.json").write_text('{"val/map": 0.5}')""" if not finds else ""
    monkeypatch.setattr("detection.sweeps.job.HydraConfig.get", lambda: job)
    monkeypatch.setattr("detection.sweeps.job.job_command", lambda *_: [sys.executable, "-c", code])
    assert run_job("val/map", finds) == expected
    (tmp_path / ".job.json").write_text('["model=another"]')
    monkeypatch.setattr("detection.sweeps.job.job_command", lambda *_: [sys.executable, "-c", ""])
    assert math.isnan(run_job("val/map", finds)), "what an earlier sweep found does not count"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """Runs a job in ``tmp_path``; ``code`` is in the place of the training, in one process for quickness."""

    def run(*overrides: str, code: str = "exit(7)", finds: bool = False) -> float:
        runtime = {"output_dir": str(tmp_path), "cwd": str(tmp_path)}
        given = {"runtime": runtime, "overrides": {"task": list(overrides)}}
        job = OmegaConf.merge(OmegaConf.create(JOB), given)
        monkeypatch.setattr("detection.sweeps.job.HydraConfig.get", lambda: job)
        made = job_command

        def command(hydra: Any, ckpt: Path | None = None) -> list[str]:
            (tmp_path / "words").write_text(" ".join(made(hydra, ckpt)))
            return [sys.executable, "-I", "-S", "-c", code]

        monkeypatch.setattr("detection.sweeps.job.job_command", command)
        return run_job("val/map", finds)

    return run


TRAINS = (
    "import os; assert os.environ['RUN_OF_A_CALLER']; open('metrics.json', 'w').write('{\"val/map\": 0.5}')"
)


def test_a_job_that_is_done_is_not_run_again(
    start: Callable[..., float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("model=ssd", "seed=1", code=TRAINS) == 0.5
    assert capsys.readouterr().out == ""
    assert start("seed=1", "model=ssd") == 0.5, "which would fail"
    assert capsys.readouterr().out == f"#3 is done, by {tmp_path}/metrics.json: val/map 0.5\n"
    assert math.isnan(start("model=ssd", "seed=2")), "another one that has its number now"
    assert not (tmp_path / "metrics.json").exists()
    assert start("model=ssd", "seed=2", code=TRAINS) == 0.5, "one that has failed is tried again"


def test_a_search_for_a_setting_that_is_done_is_not_made_again(start: Callable[..., float]) -> None:
    searches = "open('found.json', 'w').write('{\"optimizer.lr\": 0.003}')"
    assert start("find=lr", code=searches, finds=True) == 0.003
    assert start("find=lr", finds=True) == 0.003


@pytest.mark.parametrize("left", ["error.txt", "pruned.txt"])
def test_a_job_that_ended_badly_or_early_is_run_again(
    start: Callable[..., float], tmp_path: Path, left: str
) -> None:
    start("model=ssd", code=TRAINS)
    (tmp_path / left).touch()
    assert math.isnan(start("model=ssd"))


def test_a_job_that_was_stopped_goes_on_from_its_last_checkpoint(
    start: Callable[..., float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keeps = "import os; os.makedirs('checkpoints', exist_ok=True); open('checkpoints/last.ckpt', 'w')"
    words = ("model=ssd", "init_from=coco.ckpt", "+init_reuse={a: b}")
    last = tmp_path / "checkpoints/last.ckpt"
    start(*words, code=keeps)
    for _ in range(2):  # however often it is stopped
        capsys.readouterr()
        start(*words)
        assert capsys.readouterr().out == f"#3 goes on from {last}\n"
        given = (tmp_path / "words").read_text()
        assert f"model=ssd ckpt='{last}' hydra.mode=RUN" in given
    for _ in range(2):  # stopped before it sets aside what is another one's
        start("model=faster_rcnn")
        given = (tmp_path / "words").read_text()
        assert "model=faster_rcnn hydra.mode=RUN" in given
    told = f"#3 had other settings in {tmp_path} before: it is trained anew\n"
    assert capsys.readouterr().out == told


def test_a_job_that_was_ended_by_its_limit_goes_on_with_another(
    start: Callable[..., float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = "import os; os.makedirs('checkpoints', exist_ok=True); open('checkpoints/last.ckpt', 'w'); "
    ends += "open('metrics.json', 'w').write('{\"val/map\": 0.5, \"ended\": \"by trainer.max_time\"}')"
    last = tmp_path / "checkpoints/last.ckpt"
    assert start("model=ssd", "+trainer.max_time=00:00:00:08", code=ends) == 0.5
    assert start("model=ssd", r"+trainer.max_time=00\:00\:00\:08") == 0.5, "the same, with escapes"
    told = f"#3 is done, by {tmp_path}/metrics.json: val/map 0.5: by trainer.max_time\n"
    assert capsys.readouterr().out == told
    for _ in range(2):  # stopped before its first checkpoint
        assert math.isnan(start("model=ssd", "+trainer.max_time=00:00:00:12"))
        assert capsys.readouterr().out == f"#3 goes on from {last}\n"
    assert start("model=ssd", code=TRAINS) == 0.5
    assert start("model=ssd") == 0.5
    assert capsys.readouterr().out.endswith("val/map 0.5\n")


def test_a_job_that_was_resumed_by_hand_with_other_words_is_another(
    start: Callable[..., float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resume(*overrides: str) -> None:
        job = OmegaConf.merge(OmegaConf.create(JOB), {"overrides": {"task": list(overrides)}})
        monkeypatch.setattr("detection.sweeps.job.HydraConfig.initialized", lambda: True)
        monkeypatch.setattr("detection.sweeps.job.HydraConfig.get", lambda: job)
        note_words(str(tmp_path))

    words = ("model=ssd", "optimizer.lr=0.1", r"data.root=a\ b")
    start(*words, code=TRAINS)
    resume("optimizer.lr=0.1", "data.root='a b'", "model=ssd", "ckpt=best.ckpt", "trainer.max_time=1")
    assert start(*words) == 0.5
    resume("model=ssd", "optimizer.lr=0.2", "data.root='a b'", "ckpt=best.ckpt")
    assert words_of(tmp_path) == ["model=ssd", "optimizer.lr=0.2", "data.root='a b'", "ckpt=best.ckpt"]
    assert math.isnan(start(*words))
    resume("model=ssd")
    (tmp_path / ".job.json").unlink()
    resume("model=ssd")
    assert words_of(tmp_path) is None, "no job's folder"


def test_torchrun_does_not_start_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(SystemExit, match="leave torchrun out"):
        run_job("val/map")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SystemExit("data.root: needs a value"), "data.root: needs a value\n"),
        (KeyError("x"), "KeyError: 'x'\n"),
    ],
)
def test_an_error_is_noted_in_a_sentence(tmp_path: Path, error: BaseException, expected: str) -> None:
    (tmp_path / "error.txt").write_text("of an earlier start")
    with pytest.raises(type(error)), error_noted(str(tmp_path)):
        raise error
    assert (tmp_path / "error.txt").read_text() == expected


def test_success_leaves_no_error_of_an_earlier_start(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("of an earlier start")
    with error_noted(str(tmp_path)):
        pass
    assert not (tmp_path / "error.txt").exists()


def test_a_sweep_that_is_ended_ends_its_job(tmp_path: Path) -> None:
    job = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import subprocess, sys; from detection.sweeps.job import _wait; "
        f"_wait(subprocess.Popen([sys.executable, '-c', {job!r}]))"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    pid_file = tmp_path / "pid"
    for _ in range(600):
        if pid_file.exists() and pid_file.read_text():
            break
        time.sleep(0.1)
    sweep.send_signal(signal.SIGTERM)
    assert sweep.wait(timeout=30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
