"""Where runs are kept."""

import os
from pathlib import Path

import pytest

from detection.checkpoints import runs
from detection.checkpoints.runs import find_checkpoint, resume_command, run_folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs._new_folder.cache_clear()


def checkpoint(run: Path, name: str = "last", age: int = 0) -> Path:
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_a_new_run_has_a_folder_of_its_own() -> None:
    assert run_folder(None, "ssd", "now") == "runs/ssd/now"
    assert run_folder(None, "ssd", "now") == "runs/ssd/now", "the same process asks again"
    assert Path("runs/ssd/now").is_dir()


def test_runs_that_start_in_the_same_second_get_different_folders() -> None:
    folders = []
    for _ in range(3):
        runs._new_folder.cache_clear()  # as a new process
        folders.append(run_folder(None, "ssd", "now"))
    assert folders == ["runs/ssd/now", "runs/ssd/now_2", "runs/ssd/now_3"]


def test_processes_that_agreed_on_a_folder_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_STARTED", "now")
    for _ in range(2):
        runs._new_folder.cache_clear()
        assert run_folder(None, "ssd", "now") == "runs/ssd/now"


def test_a_job_of_slurms_finds_the_folder_of_each_command_again(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [["optimizer.lr=0.1", "hydra.verbose=true"], ["optimizer.lr=0.2"], ["optimizer.lr=0.1"]]

    def start(command: list[str]) -> str:
        runs._new_folder.cache_clear()  # as a new process
        monkeypatch.setattr("sys.argv", ["train.py", *command])
        folder = run_folder(None, "ssd", "now")
        (Path(folder) / ".hydra").mkdir(exist_ok=True)
        (Path(folder) / ".hydra/overrides.yaml").write_text(f"- {command[0]}\n")
        return folder

    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert start(commands[0]) == "runs/ssd/now", "a shell in a job is none of its runs"
    monkeypatch.setenv("ENVIRONMENT", "BATCH")
    folders = [start(command) for command in commands]
    assert folders == ["runs/ssd/slurm_1", "runs/ssd/slurm_1_2", "runs/ssd/slurm_1_3"]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert [start(command) for command in commands[:2]] == folders[:2]
    assert start(["optimizer.lr=0.3"]) == "runs/ssd/slurm_1_4", "it had not begun"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert start(commands[0]) == "runs/ssd/slurm_7_2"


def test_last_and_best_are_those_of_the_newest_run_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(Path("runs/ssd/monday"), age=9)
    checkpoint(Path("runs/ssd/tuesday"), age=5)
    checkpoint(Path("runs/ssd/tuesday"), "best", age=9)
    checkpoint(Path("runs/ssd/monday"), "best", age=7)
    checkpoint(Path("runs/other/wednesday"))
    assert run_folder("last", "ssd", "now") == "runs/ssd/tuesday"
    assert run_folder("best", "ssd", "now") == "runs/ssd/monday"
    assert run_folder("last", "none", "now") == "runs/none/now"


def test_a_path_leads_to_the_run_it_belongs_to(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "run")
    assert run_folder(str(path), "ssd", "now") == str(tmp_path / "run")
    assert run_folder(str(tmp_path / "run"), "ssd", "now") == str(tmp_path / "run")
    (tmp_path / "elsewhere.ckpt").touch()
    assert run_folder(str(tmp_path / "elsewhere.ckpt"), "ssd", "now") == "runs/ssd/now"


def test_a_checkpoint_is_found_by_name_path_and_folder(tmp_path: Path) -> None:
    last, best = checkpoint(tmp_path), checkpoint(tmp_path, "best")
    assert find_checkpoint(None, str(tmp_path)) is None
    assert find_checkpoint("last", str(tmp_path)) == last
    assert find_checkpoint("best", str(tmp_path)) == best
    assert find_checkpoint(str(best), "/nowhere") == best
    assert find_checkpoint(str(tmp_path), "/nowhere") == last


@pytest.mark.parametrize("ckpt", ["last", "best", "/no/such.ckpt"])
def test_a_missing_checkpoint_is_named(tmp_path: Path, ckpt: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"ckpt={ckpt}: there is no .*{Path(ckpt).stem}\.ckpt"):
        find_checkpoint(ckpt, str(tmp_path))


def test_the_resume_command_is_the_command_again_with_the_checkpoint() -> None:
    typed = ["train.py", "model=ssd", "+a=b c", "ckpt=old.ckpt", "hydra.run.dir=/x"]
    assert resume_command(typed, "/x/last.ckpt") == "python train.py model=ssd '+a=b c' ckpt=/x/last.ckpt"
    first = ["train.py", "init_from=coco.ckpt", "init_reuse={a: b}"]
    assert resume_command(first, "a.ckpt") == "python train.py ckpt=a.ckpt"
    twice = ["train.py", "seed=1", "-m", "seed=2", "~callbacks.ema"]
    assert resume_command(twice, "a.ckpt") == "python train.py -m seed=2 '~callbacks.ema' ckpt=a.ckpt"
