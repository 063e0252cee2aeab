"""One run at a time in a folder."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from detection.cli import run_lock
from detection.cli.compose import CONF
from detection.cli.run_lock import NAME, ClaimFolder, Lock, Owner, _myself, claim
from detection.data.shapes import write_shapes
from tests.warm_python import warm_python

OTHER = Owner("elsewhere", 7, "another", "", "0", "1234")
CLAIM = (
    "import sys, time; from pathlib import Path; from detection.cli.run_lock import claim; "
    "lock = claim(Path(sys.argv[1])); print('mine', flush=True); time.sleep(60)"
)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(run_lock, "SILENT_SECONDS", 0.5)
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def held_by(folder: Path, owner: Owner) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_text(json.dumps(owner._asdict()))
    return folder


def claimed(folder: Path) -> Lock:
    lock = claim(folder)
    assert lock is not None
    return lock


def test_a_folder_is_claimed_and_left(tmp_path: Path) -> None:
    lock = claimed(tmp_path / "new" / "run")
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()
    assert list((tmp_path / "new/run").iterdir()) == []
    claimed(tmp_path / "new" / "run").release()


def test_a_living_run_is_left_alone_and_a_killed_one_is_not(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", CLAIM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "mine\n"
        with pytest.raises(SystemExit, match=rf"by another run \(process {owner.pid} on .*run_dir"):
            claim(tmp_path)
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/.last.ckpt.host.7.ab.new").touch()
    claimed(tmp_path).release()
    assert list((tmp_path / "checkpoints").iterdir()) == [], "what it left half-written is gone"


def test_a_run_of_another_machine_is_watched(tmp_path: Path) -> None:
    path = held_by(tmp_path, OTHER) / NAME
    beats = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, time\nwhile True: os.utime(sys.argv[1]); time.sleep(0.02)",
            str(path),
        ]
    )
    try:
        time.sleep(0.3)
        with pytest.raises(SystemExit, match="process 7 on elsewhere"):
            claim(tmp_path)
    finally:
        beats.kill()
        beats.wait()
    started = time.monotonic()
    claimed(tmp_path).release()
    assert time.monotonic() - started >= 0.5, "it may beat again"


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "1"},
        {"TORCHELASTIC_RUN_ID": "mine", "TORCHELASTIC_RESTART_COUNT": "1"},
    ],
)
def test_a_job_that_is_started_again_takes_its_folder(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run_lock, "SILENT_SECONDS", 60.0)
    job = "Slurm job 12" if "SLURM_JOB_ID" in environment else "torchrun mine"
    held_by(tmp_path, OTHER._replace(job=job))
    started = time.monotonic()
    claimed(tmp_path).release()
    assert time.monotonic() - started < 5, "without waiting"


def test_a_name_that_all_runs_of_torchrun_have_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert _myself().job == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\0"])
def test_a_damaged_lock_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    claimed(tmp_path).release()


def test_a_lock_beats(tmp_path: Path) -> None:
    lock = claimed(tmp_path)
    before = lock.path.stat().st_mtime_ns
    time.sleep(0.3)
    assert lock.path.stat().st_mtime_ns > before
    lock.release()


def test_without_links_one_of_two_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("os.link", none)
    lock = claimed(tmp_path)
    assert run_lock._made(lock.path, OTHER) is False
    lock.release()


@pytest.mark.parametrize("name", ["LOCAL_RANK", "RANK", "SLURM_PROCID", "NODE_RANK"])
def test_the_other_processes_of_a_run_share_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = claimed(tmp_path)
    monkeypatch.setenv(name, "1")
    assert claim(tmp_path) is None
    lock.release()


def test_of_two_trainings_that_start_at_once_in_a_folder_one_trains(tmp_path: Path) -> None:
    root, folder = Path(__file__).parents[2], tmp_path / "run"
    small = ("data.num_train=8", "data.num_val=2", "data.num_test=2", "data.image_size=64", "data.size=64")
    words = ("experiment=quickstart", "trainer=cpu", "trainer.max_epochs=2", "data.batch_size=4", *small)
    write_shapes(tmp_path / "shapes", 8, 2, 2, size=64, seed=0)
    places = (f"data.root={tmp_path / 'shapes'}", f"hydra.run.dir={folder}", "~callbacks.predictions")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = [
        subprocess.Popen(
            [*warm_python(), "train.py", *words, *places], cwd=root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = {process.pid: process.communicate(timeout=120)[1] for process in two}
    assert sorted(process.returncode for process in two) == [0, 1], told
    [refused] = [told[process.pid] for process in two if process.returncode]
    assert f"{folder} is written to by another run (process " in refused
    assert "Traceback" not in refused
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows if row["val/map"]] == ["0", "1"], "one run's, once"
    assert not (folder / NAME).exists()


TOLD = (
    "holds the checkpoints of another run: this one moves them to {folder}/checkpoints/before when it begins "
    "to train, and replaces its other files. ckpt={ckpt} resumes that run, and run_dir=... names another "
    "folder."
)


@cache  # it takes a while
def settings() -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", return_hydra_config=True)


def starts(folder: Path, *words: str, **environment: str) -> None:
    """What a training does first."""
    config = deepcopy(settings())
    OmegaConf.set_readonly(config.hydra, False)
    for word in (f"hydra.run.dir={folder}", *words):
        OmegaConf.update(config, *word.split("="))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        ClaimFolder().on_run_start(config)
    (folder / NAME).unlink(missing_ok=True)


def of_a_run(folder: Path, *names: str) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for name in names:
        (folder / "checkpoints" / name).touch()
    return folder


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ((), {}),
        (("seed=5", "name=another"), {}),
        (("init_from={folder}",), {}),
        (("ckpt={other}",), {}),
        (("ckpt={other}/checkpoints/last.ckpt",), {}),
        ((), {"SLURM_JOB_ID": "12"}),
        ((), {"TORCHELASTIC_RUN_ID": "mine"}),
    ],
)
def test_a_run_that_begins_over_another_says_so(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = of_a_run(tmp_path / "a", "best.ckpt", "last.ckpt"), of_a_run(tmp_path / "b", "last.ckpt")
    given = [word.format(folder=folder, other=other) for word in words]
    starts(folder, *given, **environment)
    assert (
        "".join(capsys.readouterr()).split() == f"{folder} {TOLD.format(folder=folder, ckpt=folder)}".split()
    )
    assert sorted(path.name for path in folder.rglob("*")) == ["best.ckpt", "checkpoints", "last.ckpt"]


def test_checkpoints_are_told_to_go_where_they_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (of_a_run(tmp_path, "last.ckpt") / "checkpoints/before").mkdir()
    starts(tmp_path)
    assert f"moves them to {tmp_path}/checkpoints/before_2 when" in capsys.readouterr().out.replace("\n", " ")


def test_a_run_does_not_replace_a_report(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    starts(tmp_path)  # a check's, which has no metrics
    (tmp_path / "metrics.json").touch()
    with pytest.raises(SystemExit, match=f"run_dir={tmp_path} holds the report of an evaluation"):
        starts(tmp_path, "hydra.job.config_name=train")


def test_a_check_replaces_its_own_page_alone(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    with pytest.raises(SystemExit, match=f"run_dir={tmp_path} holds a report.html that is not of a check"):
        starts(tmp_path, "hydra.job.config_name=check")
    (tmp_path / "report.png").touch()
    starts(tmp_path, "hydra.job.config_name=check")


def test_what_can_be_resumed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = of_a_run(tmp_path / "a", "best.ckpt", ".last.ckpt.host.7.ab.new") / "checkpoints/best.ckpt"
    starts(tmp_path / "a")
    assert f"ckpt={best}" in "".join(capsys.readouterr()).split()


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("ckpt=last",), {}),
        (("ckpt=best",), {}),
        (("ckpt={folder}",), {}),
        (("ckpt={folder}/../a/checkpoints/best.ckpt",), {}),
        (("ckpt={link}",), {}),
        (("find=lr",), {}),
        (("hydra.job.num=3",), {}),
        ((), {"SLURM_RESTART_COUNT": "1"}),
        ((), {"TORCHELASTIC_RUN_ID": "mine", "TORCHELASTIC_RESTART_COUNT": "1"}),
        ((), {"RUN_STARTED": "a"}),
        ((), {"LOCAL_RANK": "1"}),
        ((), {"NODE_RANK": "1"}),
    ],
)
def test_a_run_goes_on_in_its_own_folder(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, link = of_a_run(tmp_path / "a", "best.ckpt", "last.ckpt"), tmp_path / "link"
    link.symlink_to(folder)
    starts(folder, *(word.format(folder=folder, link=link) for word in words), **environment)
    assert capsys.readouterr() == ("", "")


def test_a_run_that_kept_nothing_is_begun_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = of_a_run(tmp_path / "a")
    (folder / "metrics.csv").touch()
    starts(folder)
    assert capsys.readouterr() == ("", "")


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"file/run cannot be written to .*run_dir"):
        claim(tmp_path / "file" / "run")


@pytest.mark.parametrize("root", ["set", "{place}/set", "other/../set/"])
def test_the_folder_of_the_data_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"data.root={root.format(place=tmp_path)}", "hydra.run.dir=set"]
        config = compose("train", overrides=words, return_hydra_config=True)
    with pytest.raises(SystemExit, match=r"run_dir=set is the folder of the data"):
        ClaimFolder().on_run_start(config)
    assert not list((tmp_path / "set").iterdir())
