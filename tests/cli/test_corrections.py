"""Values of a composed configuration that are nearly right."""

import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from detection.cli.compose import checked_config
from detection.cli.corrections import correct_paths
from detection.settings import Train
from detection.system.processes import CONF


def composed(verb: str, *words: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(verb, overrides=list(words))


def checked(*words: str) -> dict[str, Any]:
    return checked_config(composed("train", "run_dir=/nowhere", "name=test", *words), Train)


@pytest.fixture(autouse=True)
def _without_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command runs, and nothing is to be told, whatever an earlier test has left."""
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr("detection.cli.words._readings", {})


def test_values_are_read_wherever_they_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    config = checked(
        "experiment=quickstart", "data.size=128.0", "trainer.max_epochs=10.0",
        "seed='7'", "optimizer.scale_lr=yes", "find=LR",
    )  # fmt: skip
    assert config["data"]["size"] == config["model"]["network"]["size"] == 128
    assert config["trainer"]["max_epochs"] == 10
    assert config["seed"] == config["data"]["seed"] == 7
    assert config["optimizer"]["scale_lr"] is True
    assert config["find"] == "lr"
    assert capsys.readouterr().err.splitlines()[:2] == [
        "seed='7' is read as seed=7",
        "find=LR is read as find=lr",
    ]


def test_a_wrong_value_is_told_once_where_it_was_typed() -> None:
    with pytest.raises(SystemExit) as stop:
        checked(
            "data=coco", "seed=abc", "data.size=big", "optimizer.lr=fast", "find=lrr", "optimizer.scale_lr=3"
        )
    assert str(stop.value).splitlines()[1:] == [
        "seed=abc: give a whole number",
        "find=lrr: give one of lr, batch_size or null",
        "optimizer.scale_lr=3: give true or false",
        "data.size=big: give a whole number from 1 to 4,096 or a list of 2 whole numbers from 1 to 4,096, "
        "such as [1,2]",
        "optimizer.lr=fast: give a number",
    ]


def test_a_reference_to_nothing_ends_in_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"data\.root: Interpolation key 'nowhere' not found"):
        checked("data.root=${nowhere}")


def test_keys_that_nothing_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["+epochs=10", "++foo.bar=1", "+trainer.limit_test_batches=2", "+mine=3", "name=${mine}"]
    monkeypatch.setattr("detection.cli.compose.typed_overrides", lambda: words)
    with pytest.raises(SystemExit) as stop:
        checked(*words[:-1])
    assert str(stop.value).splitlines()[1:] == [
        "epochs: no such key; give trainer.max_epochs=10",
        "foo.bar: no such key; --help lists them",
    ]


def test_a_recipe_for_other_data_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["experiment=quickstart", "data=auto", f"data.root={tmp_path}"]
    monkeypatch.setattr("detection.cli.compose.typed_overrides", lambda: words)
    with pytest.raises(SystemExit) as stop:
        checked(*words)
    assert str(stop.value).splitlines()[1:] == [
        "data.num_train: AutoDataModule has no argument 'num_train'",
        "experiment=quickstart sets what data=auto does not have: leave one of them out, or choose a recipe "
        "that fits, such as experiment=finetune for images of your own.",
    ]


def test_of_a_runs_folder_the_best_checkpoint_is_taken(tmp_path: Path) -> None:
    run = tmp_path / "Run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("last", "best"):
        (run / f"checkpoints/{name}.ckpt").touch()
        for verb in ("predict", "evaluate", "export"):
            for typed in (
                run,
                tmp_path / "run",
                run / "checkpoints",
                run / f"checkpoints/{name.upper()}.ckpt",
            ):
                cfg = composed(verb, f"ckpt={typed}")
                correct_paths(cfg, verb)
                assert cfg.ckpt == str(run / f"checkpoints/{name}.ckpt")


def test_last_and_best_are_those_of_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, run in enumerate(("ssd/old", "mine/new")):
        folder = Path("runs", run, "checkpoints")
        folder.mkdir(parents=True)
        for name in ("last", "best"):
            (folder / f"{name}.ckpt").touch()
            os.utime(folder / f"{name}.ckpt", (number, number))
    for verb in ("predict", "evaluate", "export"):
        for name in ("last", "best"):
            cfg = composed(verb, f"ckpt={name}")
            correct_paths(cfg, verb)
            assert cfg.ckpt == f"runs/mine/new/checkpoints/{name}.ckpt"
    Path("last").touch()
    cfg = composed("predict", "ckpt=last")
    correct_paths(cfg, "predict")
    assert cfg.ckpt == "last"


def test_what_is_written_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    for words, expected in (
        (["data=voc_custom"], "sets"),
        (["data=shapes"], "Sets"),
        (["data=voc07", "data.download=true"], "Sets"),
    ):
        cfg = composed("train", *words, f"data.root={tmp_path}/Sets")
        correct_paths(cfg, "train")
        assert cfg.data.root == f"{tmp_path}/{expected}"
