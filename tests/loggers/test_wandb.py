"""Weights & Biases: where a run belongs, and whether it goes online."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from detection.loggers import wandb as ours
from detection.loggers.tracker import closing_trackers
from detection.loggers.wandb import WandbRun, stored_run_id

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home/.netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


def start(folder: Path, **options: object) -> WandbRun:
    logger = WandbRun(str(folder), project="detection", **options)  # type: ignore[arg-type]
    logger.log_metrics({"train/loss": 0.5}, step=1)
    return logger


def folders(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "wandb").glob("*run-*"))


def test_a_group_of_ones_own(tmp_path: Path) -> None:
    sweep = tmp_path / "runs/sweep_9"
    logger = WandbRun(str(sweep / "0"), project="p", sweep_dir=str(sweep))
    assert logger._wandb_init["group"] == "sweep_9"
    logger = WandbRun(str(sweep / "0"), project="p", group="mine", sweep_dir=str(sweep))
    assert logger._wandb_init["group"] == "mine"


def test_a_folder_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = stored_run_id(tmp_path / "a"), stored_run_id(tmp_path / "b")
    monkeypatch.setenv("WANDB_RUN_ID", "agent007")  # as an agent of a W&B sweep sets it
    assert stored_run_id(tmp_path / "a") == first != other
    assert (tmp_path / "a/wandb/run_id").read_text() == first
    assert stored_run_id(tmp_path / "c") == "agent007"


def test_without_an_account_one_line_says_how_to_upload(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "a run"
    with closing_trackers([start(run_dir), CSVLogger(tmp_path)], str(run_dir)):
        pass
    (folder,) = folders(run_dir)
    assert folder.startswith("offline-run-")
    assert folder.endswith(stored_run_id(run_dir))
    printed = capfd.readouterr()
    assert printed.err == ""
    assert printed.out == (
        "Weights & Biases: offline (not logged in: wandb login). "
        f"Upload the run with: wandb sync '{run_dir}/wandb/{folder}'\n"
    )


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("mode", [None, "online"])
def test_the_environment_can_keep_a_run_offline(
    key: str, mode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    start(tmp_path, mode=mode).close(0)
    assert [name.split("-")[0] for name in folders(tmp_path)] == ["offline"]


@pytest.mark.parametrize("where", ["configuration", "environment"])
def test_disabled_writes_and_says_nothing(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if where == "environment":
        monkeypatch.setenv("WANDB_MODE", "disabled")
    (tmp_path / "metrics.json").write_text("{}")
    logger = start(tmp_path, mode="disabled" if where == "configuration" else None, log_model=True)
    with closing_trackers([logger], str(tmp_path)):
        pass
    assert not (tmp_path / "wandb").exists()
    assert capfd.readouterr() == ("", "")


def test_an_unreachable_server_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens at the discard port
    monkeypatch.setattr(ours, "INIT_SECONDS", 1)
    start(tmp_path).close(0)
    assert [name.split("-")[0] for name in folders(tmp_path)] == ["offline", "run"]
    assert "offline (no connection:" in capfd.readouterr().out


def test_a_malformed_key_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    start(tmp_path).close(0)
    assert "offline (WANDB_API_KEY invalid" in capfd.readouterr().out


def test_a_wrong_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"logger\.wandb: .*project name 'a/b'"):
        WandbRun(str(tmp_path), project="a/b").log_metrics({"x": 1}, step=1)


def test_a_training_survives_the_death_of_wandb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = start(tmp_path / "0")
    for process in _children("wandb-core"):
        os.kill(process, signal.SIGKILL)
    time.sleep(1)
    capfd.readouterr()
    for step in range(3):
        logger.log_metrics({"train/loss": 0.4}, step=step)
    logger.log_hyperparams({"seed": 1})
    logger.close(0)
    printed = capfd.readouterr().out
    assert printed.count("does not record any more") == 1
    assert f"wandb sync {tmp_path}/0/wandb/{folders(tmp_path / '0')[0]}" in printed
    start(tmp_path / "1").close(0)  # the next job of a sweep
    assert "does not record" not in capfd.readouterr().out
    assert len(folders(tmp_path / "1")) == 1


def _children(name: str) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    found = [int(pid) for pid, parent, command in rows if parent == str(os.getpid()) and name in command]
    assert found
    return found


def test_other_processes_make_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = WandbRun(str(tmp_path), project="detection")
    assert type(logger.experiment).__name__ == "_DummyExperiment"
    logger.log_hyperparams({"seed": 1})
    logger.close(0)
    assert not (tmp_path / "wandb").exists()
    assert wandb.run is None
