"""The table of a sweep, from folders as its jobs leave them."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from detection.sweeps.report import SweepReport, report
from detection.system import endings


def write_run(
    sweep: Path, name: str, overrides: list[str], metrics: dict[str, Any] | None, **files: str
) -> None:
    folder = sweep / name
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(overrides), folder / ".hydra/overrides.yaml")
    config = {"optimized_metric": "val/map", "optimized_direction": "maximize"}
    OmegaConf.save(OmegaConf.create(config), folder / ".hydra/config.yaml")
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    for file, text in files.items():
        (folder / f"{file}.txt").write_text(text)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    write_run(
        tmp_path, "0", ["data=shapes", "model=ssd", "optimizer.lr=0.1"], {"val/map": 0.5, "test/map": 0.4}
    )
    write_run(tmp_path, "1", ["data=shapes", "model=ssd", "optimizer.lr=0.2"], None, error="Boom: b\nmore\n")
    write_run(tmp_path, "2", ["data=shapes", "model=faster_rcnn", "+optimizer.lr=0.1"], {"val/map": 0.7})
    write_run(tmp_path, "10", ["data=shapes", "model=ssd", "optimizer.lr=a=b"], {"val/map": None})
    write_run(tmp_path, "11", ["data=shapes", "model=ssd"], {"val/map": 0.1}, pruned="Stopped")
    write_run(tmp_path, "12", ["data=shapes", "model=ssd"], None)
    return tmp_path


def test_the_best_run_is_first_and_every_run_says_how_it_ended(sweep: Path) -> None:
    runs = report(sweep)
    assert [(run.name, run.status) for run in runs] == [
        ("2", "finished"),
        ("0", "finished"),
        ("11", "pruned"),
        ("1", "failed"),
        ("10", "finished"),
        ("12", "unfinished"),
    ]


def test_the_csv_has_what_was_swept_and_every_figure(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(sweep)
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # data is the same everywhere
    assert list(rows[0]) == ["run", "status", "model", "optimizer.lr", "val/map", "test/map", "error"]
    assert rows[0] == {
        "run": "2", "status": "finished", "model": "faster_rcnn", "optimizer.lr": "0.1",
        "val/map": "0.7", "test/map": "", "error": "",
    }  # fmt: skip
    assert rows[4]["optimizer.lr"] == "a=b"
    assert rows[3]["error"] == "Boom: b\nmore"
    printed = capsys.readouterr().out
    assert "faster_rcnn" in printed
    assert "0.7000" in printed


def test_a_run_that_was_ended_by_its_limit_is_told_from_one_that_is_done(sweep: Path) -> None:
    how = "by trainer.max_time, after 3 of 9 epochs"
    words = ["model=ssd", r"trainer.max_time=00\:00\:00\:08", r"+model.size=\[1\, 2\]", "a='b c'"]
    write_run(sweep, "13", words, {"val/map": 0.9, "ended": how})
    first, *_ = report(sweep)
    assert (first.name, first.status, first.error) == ("13", "out of time", how)
    assert first.overrides == {
        "model": "ssd", "trainer.max_time": "00:00:00:08", "model.size": "[1, 2]", "a": "'b c'"
    }  # fmt: skip


def test_a_run_that_was_resumed_with_other_words_is_in_the_table_with_them(sweep: Path) -> None:
    (sweep / "0/.job.json").write_text('["model=ssd", "optimizer.lr=9"]')
    assert next(run for run in report(sweep) if run.name == "0").overrides["optimizer.lr"] == "9"


def test_a_loss_is_sorted_the_other_way_round(sweep: Path) -> None:
    for path in sweep.rglob(".hydra/config.yaml"):
        path.write_text("optimized_metric: val/map\noptimized_direction: minimize\n")
    assert [run.name for run in report(sweep)][:3] == ["11", "0", "2"]


def test_what_was_looked_for_is_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("0", 0.00123), ("1", 0.0046), ("2", None)):
        write_run(
            tmp_path,
            name,
            [f"seed={name}", "find=lr"],
            None,
            **({} if rate else {"error": "It does not fall"}),
        )
        config = {"optimized_metric": "val/loss", "optimized_direction": "minimize", "find": "lr"}
        OmegaConf.save(OmegaConf.create(config), tmp_path / name / ".hydra/config.yaml")
        if rate:
            (tmp_path / name / "found.json").write_text(json.dumps({"optimizer.lr": rate}))
    runs = report(tmp_path)
    assert [(run.name, run.status, run.metrics) for run in runs] == [
        ("1", "finished", {"found": 0.0046}),
        ("0", "finished", {"found": 0.00123}),
        ("2", "failed", {}),
    ]
    printed = capsys.readouterr().out
    assert "what find=lr found" in printed
    assert "0.0012" in printed
    with (tmp_path / "sweep.csv").open(newline="") as file:
        assert [row["found"] for row in csv.DictReader(file)] == ["0.0046", "0.00123", ""]


def test_evaluations_are_compared_by_what_they_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("0", 0.4), ("1", 0.6)):
        left = {"data": "shapes, test, 5 images", "voc": {"map_07": value}, "coco": {"map": None}}
        write_run(tmp_path, name, [f"ckpt={name}.ckpt"], left)
        (tmp_path / name / ".hydra/config.yaml").write_text(f"ckpt: {name}.ckpt\n")
    assert [(run.name, run.metrics) for run in report(tmp_path)] == [
        ("1", {"voc/map_07": 0.6}),
        ("0", {"voc/map_07": 0.4}),
    ]
    assert "Tested on shapes, test, 5 images." in capsys.readouterr().out


def test_jobs_that_have_no_metrics_have_no_table(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"hydra": {"sweep": {"dir": str(sweep)}, "job": {"config_name": "check"}}}
    SweepReport().on_multirun_end(OmegaConf.create(config))
    assert capsys.readouterr().out == ""


def test_a_failed_run_ends_the_sweep_with_its_name_and_reason(sweep: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(sweep)}}}))
    assert str(stop.value) == "1 of 6 runs failed:\n  1: Boom: b more"


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"{tmp_path}: no run"):
        report(tmp_path)


def test_a_sweep_without_a_run_is_told_unless_what_kept_it_is(tmp_path: Path) -> None:
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    with pytest.raises(SystemExit, match=f"{tmp_path}: no run"):
        SweepReport().on_multirun_end(config)
    with pytest.raises(ValueError, match="no such launcher"):
        _end_with_it(SweepReport(), config)


def _end_with_it(callback: SweepReport, config: DictConfig) -> None:
    """As Hydra 1.4 does."""
    try:
        raise ValueError("no such launcher")
    finally:
        callback.on_multirun_end(config)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_stopped_sweep_of_trainings_says_how_to_go_on(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a sweep leaves out when it is started again is trainings. The folder is named once."""
    words = ["-m", "optimizer.lr=1e-3,3e-3", "data.root='/my (old) photos'", "hydra.sweep.dir=a"]
    monkeypatch.setattr(sys, "argv", [f"{command}.py", *words])
    monkeypatch.setattr(endings, "_state", endings._State())
    hydra = {"job": {"config_name": command}, "sweep": {"dir": "runs/my sweep"}}
    SweepReport().on_multirun_start(OmegaConf.create({"hydra": hydra}))
    endings.say()
    goes_on = "python train.py -m optimizer.lr=1e-3,3e-3 'data.root=/my (old) photos'"
    goes_on = f"\nTo go on with this sweep:\n  {goes_on} 'hydra.sweep.dir={Path.cwd()}/runs/my sweep'\n"
    assert capsys.readouterr().err == (goes_on if command == "train" else "")
