"""The folder that is shared, and its model card."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from detection.checkpoints.shared import read_shared
from detection.sharing.folder import Subject, write_folder
from detection.sharing.run import Run

RUN = Run(["data.root=/home/x"], "pets | cats (auto)", {"test/map": 0.5, "test/ap/cat": 0.75}, "test", None)


def subject(**changes: Any) -> Subject:
    model = {"class_names": ["cat", "<b>|*dog*"], "interpolation": "area"}
    described = {"format": 2, "model": model, "data": {}, "training": {"train_images": 7}}
    checkpoint = {"hyper_parameters": described, "state_dict": {"network.a": torch.arange(4.0)}}
    facts = {"model": "SSD, Tiny, 0.1 M parameters", "input size": "300 x 300 pixels", "versions": "torch 2"}
    return Subject(checkpoint, facts, RUN, "mit", "user/pets")._replace(**changes)


def test_the_card_tells_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    write_folder(tmp_path / "shared", subject())
    card = (tmp_path / "shared/README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front == {
        "license": "mit",
        "library_name": "lightning-detection",
        "pipeline_tag": "object-detection",
        "tags": ["object-detection", "pytorch-lightning", "ssd"],
    }
    assert "# pets\n" in card
    assert "detection predict ckpt=hf://user/pets source=photo.jpg" in card
    assert r"pets \| cats \(auto\): 7 training images." in card, "names have no meaning in Markdown"
    assert "detection train data.root=~" in card, "where the home lies is not told"
    assert "as an area (VOC 2010 on), on test;" in card
    assert "| cat | 0.7500 |\n| \\<b\\>\\|\\*dog\\* | - |\n| mean | 0.5000 |\n" in card
    state = read_shared(tmp_path / "shared")["state_dict"]
    assert torch.equal(state["network.a"], torch.arange(4.0))


def test_commands_of_the_card_can_be_pasted(tmp_path: Path) -> None:
    run = RUN._replace(overrides=["data.root='Meine Fotos (1)/ü'", "data.batch_size=4"])
    write_folder(tmp_path / "Mein Detektor", subject(run=run, repository=None))
    card = (tmp_path / "Mein Detektor/README.md").read_text()
    assert "$ detection predict 'ckpt=Mein Detektor' source=photo.jpg" in card
    assert "$ detection train 'data.root=Meine Fotos (1)/ü' data.batch_size=4" in card


def test_the_card_says_what_is_not_known(tmp_path: Path) -> None:
    nothing = Run([], "", {}, "", None)
    described = subject().checkpoint["hyper_parameters"]
    del described["training"]
    checkpoint = {**subject().checkpoint, "hyper_parameters": described}
    write_folder(
        tmp_path / "pets", subject(checkpoint=checkpoint, run=nothing, license=None, repository=None)
    )
    card = (tmp_path / "pets/README.md").read_text()
    assert "license:" not in card
    assert "ask whoever shares this" in card
    assert "Not known" in card
    assert "None are known" in card
    assert "ckpt=pets source" in card


def test_nothing_is_written_over_and_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_folder(tmp_path / "there", subject())
    with pytest.raises(KeyError):
        write_folder(tmp_path / "half", subject(facts={}))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
