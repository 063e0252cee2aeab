"""Which config.yaml is that of a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from detection.checkpoints.config_before import config_before, digest_of_settings, words_of_data

CONFIG: dict[str, Any] = {
    "run_dir": "/runs/one",
    "ckpt": None,
    "data": {"batch_size": 2, "root": "set", "names": ["a", "b"], "nothing": {}},
    "optimizer": {"lr": 1e-05},
    "callbacks": {"best": {"dirpath": "/runs/one/checkpoints", "monitor": "val/map"}},
    "small": 1e-05,
}


def with_value(key: str, value: Any) -> dict[str, Any]:
    config = OmegaConf.create(CONFIG)
    OmegaConf.update(config, key, value, force_add=True)
    return dict(OmegaConf.to_container(config))  # type: ignore[arg-type]


def found(folder: Path, config: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """Where that configuration was written by the part of the run that came last."""
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    return config_before(folder / "checkpoints/best.ckpt", training)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ckpt", "last"),
        ("optimizer.lr", 0.1),  # which the checkpoint itself tells
        ("callbacks.last.every_n_steps", 3),
        ("logger.wandb.overrides", ["ckpt=last"]),
    ],
)
def test_what_is_never_compared_makes_no_difference(tmp_path: Path, key: str, value: Any) -> None:
    known = {"settings": digest_of_settings(CONFIG)}
    assert found(tmp_path, with_value(key, value), known)["data"] == CONFIG["data"]


def test_a_run_that_was_moved_has_its_settings(tmp_path: Path) -> None:
    moved = with_value("run_dir", "/elsewhere")
    moved["callbacks"]["best"]["dirpath"] = "/elsewhere/checkpoints"
    assert digest_of_settings(moved) == digest_of_settings(CONFIG)
    assert found(tmp_path, moved, {"settings": digest_of_settings(CONFIG)})["run_dir"] == "/elsewhere"


@pytest.mark.parametrize(
    ("key", "value"),
    [("data.batch_size", 3), ("data.names", ["b", "a"]), ("callbacks.ema.decay", 0.9), ("small", 1e-06)],
)
def test_the_settings_of_a_later_part_are_not_the_checkpoints(tmp_path: Path, key: str, value: Any) -> None:
    later = with_value(key, value)
    assert found(tmp_path, later, {"settings": digest_of_settings(CONFIG)}) == {}
    assert found(tmp_path, later, {"settings": digest_of_settings(later)}) == later
    assert found(tmp_path, later, {}) == later, "of a checkpoint that does not say"


@pytest.mark.parametrize("content", ["", "- 1", "a: 1", "run_dir: null", "a: [1"])
def test_what_is_broken_is_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    assert config_before(tmp_path / "checkpoints/best.ckpt", {"settings": "0"}) == {}


def test_a_run_says_which_data_it_was_trained_on(tmp_path: Path) -> None:
    checkpoint = str(tmp_path / "checkpoints/best.ckpt")
    assert words_of_data(checkpoint) == []
    OmegaConf.save(OmegaConf.create(CONFIG), tmp_path / "config.yaml")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text("hydra: {runtime: {choices: {data: auto}}}\n")
    assert words_of_data(checkpoint) == ["data=auto", "data.root=set"]
