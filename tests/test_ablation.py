"""A list of changes over one recipe: real trainings, of seconds each."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import ablation
from tests.warm_python import warm_python

SMALL = (
    *("experiment=quickstart", "trainer=cpu", "trainer.max_epochs=1", "data.num_train=8", "data.num_val=4"),
    *("data.num_test=4", "data.size=64", "data.image_size=64", "data.batch_size=4", "data.num_workers=0"),
)


def write_list(folder: Path, text: str = "no_flip: [data.train_transform.flip_probability=0]") -> str:
    path = folder / "changes.yaml"
    path.write_text(text)
    return str(path)


def keep_result(run: ablation.Run, value: float | None, seconds: float = 60, images: int = 1200) -> None:
    """What a finished run leaves."""
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.json").write_text(json.dumps({"test/map": value}))
    about = {"machine": "2 cores of x", "date": "2026-11-29"}
    run.keep(words=run.words, processor_seconds=seconds, seconds=1, images=images, **about)


def test_a_run_is_trained_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [write_list(tmp_path, "{}"), "--folder", str(tmp_path / "out"), *SMALL]
    ablation.main([*words, f"data.root={tmp_path}/data"], python=warm_python())
    shown = capsys.readouterr().out
    assert "starts: base, seed 0" in shown
    table = (tmp_path / "out/table.md").read_text()
    assert table in shown
    assert re.search(r"^\| base \| 1 \| \d+\.\d \|  \| \d+\.\d \| \d+\.\d \|$", table, re.M)
    assert json.loads((tmp_path / "out/base/seed_0.json").read_text())["images"] == 8

    # On another machine, where the data lies elsewhere.
    ablation.main([*words, f"data.root={tmp_path}/elsewhere"], python=("/nowhere",))
    assert "starts" not in capsys.readouterr().out


def test_every_change_gets_its_first_seed_before_any_gets_its_second(tmp_path: Path) -> None:
    runs = ablation.plan({"base": [], "a": ["x=1"]}, ["y=2"], [0, 1], tmp_path)
    assert [run.name for run in runs] == ["base, seed 0", "a, seed 0", "base, seed 1", "a, seed 1"]
    assert runs[3].words == ("y=2", "x=1", "seed=1")


def test_the_table_has_means_spreads_and_what_is_not_there(tmp_path: Path) -> None:
    changes = {name: [f"x={name}"] if name != "base" else [] for name in ("base", "a", "b", "c", "d")}
    shared = ["data.root=/mine", "y=2"]
    runs = {run.name: run for run in ablation.plan(changes, shared, [0, 1], tmp_path)}
    for name, value in {
        "base, seed 0": 0.4,
        "base, seed 1": 0.42,
        "a, seed 0": 0.41,
        "a, seed 1": 0.46,
    }.items():
        keep_result(runs[name], value, images=2400 if name.startswith("base") else 1200)
    keep_result(runs["b, seed 0"], 0.1)
    for name, failed in (("c, seed 0", None), ("d, seed 0", "no such key")):
        runs[name].folder.mkdir(parents=True)
        runs[name].keep(words=[], failed=failed)
    table = ablation.table(list(runs.values()), shared, "test/map")
    lines = table.splitlines()
    assert lines[0] == "`y=2`"
    assert "| base | 2 | 41.0 (40.0..42.0) |  | 1.0 | 40.0 |" in lines
    assert "| a | 2 | 43.5 (41.0..46.0) | +2.5 (+1.0..+4.0) | 1.0 | 20.0 |" in lines
    assert "| b | 1 | 10.0 | -30.0 | 1.0 | 20.0 |" in lines
    assert "Did not get their turn: b, seed 1; c, seed 1; d, seed 1." in lines
    assert "Stopped before the end: c, seed 0." in lines
    assert f"Failed: d, seed 0: no such key ({tmp_path}/d/seed_0.log)" in lines
    with pytest.raises(SystemExit, match=r"--metric test/mop: .* has test/map"):
        ablation.table(list(runs.values()), shared, "test/mop")


def test_of_several_metrics_the_mean_is_shown(tmp_path: Path) -> None:
    [run] = ablation.plan({"base": []}, [], [0], tmp_path)
    keep_result(run, 0.4)
    metrics = {"test/map": 0.4, "test/ap/rare_cow": 0.1, "test/ap/rare_bus": 0.3, "test/ap/cat": 0.8}
    (run.folder / "metrics.json").write_text(json.dumps(metrics))
    assert "| base | 1 | 20.0 |" in ablation.table([run], [], "test/ap/rare_*")
    assert "| base | 1 | 80.0 |" in ablation.table([run], [], "test/ap/[!r]*")


def test_a_result_of_other_words_is_not_taken(tmp_path: Path) -> None:
    [run] = ablation.plan({"base": []}, ["trainer.max_epochs=8", "data.root=/mine"], [0], tmp_path)
    keep_result(run, 0.4)
    ablation.plan({"base": []}, ["trainer.max_epochs=8", "data.root=/yours"], [0], tmp_path)
    with pytest.raises(SystemExit, match=r"other words \(trainer.max_epochs=4 trainer.max_epochs=8\)"):
        ablation.plan({"base": []}, ["trainer.max_epochs=4"], [0], tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: b=1", "write a list"), ("- a", "write a list"), ("base: []", "not base"), ("a/b: []", "a folder")],
)
def test_a_list_says_what_is_wrong_with_it(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        ablation.read_changes(Path(write_list(tmp_path, text)))
    path = Path(write_list(tmp_path, "a: []\nb: []"))
    assert list(ablation.read_changes(path, ["b"])) == ["base", "b"]
    with pytest.raises(SystemExit, match=r"has a, b, not c"):
        ablation.read_changes(path, ["c"])


def test_a_run_that_fails_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    mistyped = write_list(tmp_path, "mistyped: [data.batchsize=3]")
    words = [mistyped, "--folder", str(tmp_path / "out"), *SMALL, f"data.root={tmp_path}/data"]
    runs = ablation.plan(
        ablation.read_changes(Path(mistyped)), [*words[3:]], [0], (tmp_path / "out").resolve()
    )
    keep_result(runs[0], 0.4)
    with pytest.raises(SystemExit):
        ablation.main(words, python=warm_python())
    assert "Failed: mistyped, seed 0: " in (tmp_path / "out/table.md").read_text()


@pytest.mark.slow
def test_two_run_at_once(tmp_path: Path) -> None:
    words = [write_list(tmp_path), "--folder", str(tmp_path / "out"), "--at-once", "2", *SMALL]
    ablation.main([*words, f"data.root={tmp_path}/data"], python=warm_python())
    table = (tmp_path / "out/table.md").read_text()
    assert re.search(r"^\| no_flip \| 1 \| \d+\.\d \| [+-]\d+\.\d \|", table, re.M)
    assert "turn" not in table
    assert "Failed" not in table


@pytest.mark.slow
def test_what_was_stopped_resumes_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    longer = [*SMALL, "trainer.max_epochs=6", "data.num_train=64", f"data.root={tmp_path}/data"]
    # One thread each: those of one training wait for each other by spinning, where others use the cores.
    words = [write_list(tmp_path, "{}"), "--at-once", "2", *longer]
    start = [sys.executable, "-m", "benchmarks.ablation", *words, "--folder"]
    root = Path(__file__).parents[1]
    with subprocess.Popen([*start, str(tmp_path / "stopped")], cwd=root, start_new_session=True) as process:
        while not (tmp_path / "stopped/base/seed_0/checkpoints/last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 0
    assert "Stopped before the end: base, seed 0" in (tmp_path / "stopped/table.md").read_text()
    for folder in ("stopped", "whole"):
        subprocess.run([*start, str(tmp_path / folder)], cwd=root, check=True)
    ends = [
        json.loads((tmp_path / f"{name}/base/seed_0/metrics.json").read_text())
        for name in ("stopped", "whole")
    ]
    assert ends[0] == ends[1]
    record = json.loads((tmp_path / "stopped/base/seed_0.json").read_text())
    assert record["images"] == 6 * 64
