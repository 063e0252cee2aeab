"""What trackers call a run, and which runs belong together."""

from pathlib import Path

import pytest

from detection.loggers.names import run_name, sweep_group


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "ssd 2026-11-21_09-00-00"),
        (["experiment=quickstart", "data.root=/x", "trainer=cpu", "logger=wandb"], "ssd 2026-11-21_09-00-00"),
        (["optimizer.lr=0.1", "logger.wandb.project=x", "seed=3"], "ssd optimizer.lr=0.1 seed=3"),
        (["trainer.devices=2", "trainer.max_epochs=9", "+data.x=1"], "ssd trainer.max_epochs=9 +data.x=1"),
        (["data.rooted=1", "names=2"], "ssd data.rooted=1 names=2"),
        (["ckpt=last", f"model.x={'a' * 200}"], f"ssd model.x={'a' * 116}"),
    ],
)
def test_a_run_is_named_after_what_was_changed(overrides: list[str], name: str) -> None:
    assert run_name("ssd", overrides, "/runs/ssd/2026-11-21_09-00-00") == name


def test_jobs_of_a_sweep_are_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "runs/sweep_9"
    assert [sweep_group(str(sweep / job), "runs/sweep_9") for job in ("0", "1", "a/b")] == ["sweep_9"] * 3
    assert sweep_group(str(tmp_path / "runs/ssd/today"), "runs/sweep_9") is None
    assert sweep_group(str(tmp_path / "runs/sweep_91/0"), "runs/sweep_9") is None
    assert sweep_group(str(sweep / "0"), None) is None
