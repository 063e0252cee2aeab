"""Shared detectors, in a folder and on a hub: what is read is what was written, and nothing else is."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import detection
from detection.checkpoints.init_from import make_task
from detection.checkpoints.kept_split import split_to_keep
from detection.checkpoints.loading import load_task, read_checkpoint
from detection.checkpoints.resume import read_origin
from detection.checkpoints.shared import DESCRIPTION, WEIGHTS, address_of, write_shared
from detection.cli.compose import model_config
from detection.settings import Export
from tests.checkpoints.test_security import settings, write_malicious
from tests.hub import Hub, commit_name, use

CLASSES = ["cat", "dog"]


@pytest.fixture(scope="module")
def ckpt(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = write_checkpoint(tmp_path_factory.mktemp("trained"), "quickstart", CLASSES)
    checkpoint = torch.load(path, weights_only=True)
    split = {"seed": 1, "fractions": {"val": 0.5}, "images": {"train": ["a.jpg"], "val": ["b.jpg"]}}
    described = {**checkpoint["hyper_parameters"], "split": split, "learned": "abcdefg+"}
    torch.save({**checkpoint, "hyper_parameters": described}, path)
    return path


@pytest.fixture(scope="module")
def original(ckpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "mein Detektor"
    folder.mkdir()
    checkpoint = read_checkpoint(ckpt)
    write_shared(folder, checkpoint["hyper_parameters"], checkpoint["state_dict"])
    return folder


@pytest.fixture
def shared(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "shared"))


def change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / DESCRIPTION).read_text())
    change(document)
    (folder / DESCRIPTION).write_text(json.dumps(document))


def sign(folder: Path) -> None:
    """Name the weights as they are, as somebody would who exchanges them on purpose."""
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    change(folder, lambda document: document["weights"].update(sha256=digest))


def test_a_shared_folder_is_the_checkpoint(ckpt: Path, original: Path) -> None:
    one, other = read_checkpoint(ckpt), read_checkpoint(original)
    assert other["hyper_parameters"] == one["hyper_parameters"]
    assert other["state_dict"].keys() == one["state_dict"].keys()
    assert all(torch.equal(other["state_dict"][key], value) for key, value in one["state_dict"].items())


def test_it_predicts_as_the_checkpoint_does(ckpt: Path, original: Path) -> None:
    images = [np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)]
    ours, theirs = detection.load(ckpt, "cpu")(images)[0], detection.load(original, "cpu")(images)[0]
    assert len(ours["scores"]) > 0
    for key in ("boxes", "scores", "labels"):
        assert torch.equal(ours[key], theirs[key])


def test_a_training_starts_from_it_and_keeps_its_split(original: Path) -> None:
    config = settings(f"init_from='{original}'")
    task, told = make_task(model_config(config, CLASSES, None), config)
    assert str(original) in told
    state = read_checkpoint(original)["state_dict"]
    assert all(torch.equal(value, state[key]) for key, value in task.state_dict().items())
    kept = split_to_keep(config, None)
    assert kept is not None
    assert kept.split is not None
    assert kept.split.images["val"] == ["b.jpg"]


@pytest.mark.parametrize("source", ["{folder}", "hf://user/name"])
def test_no_run_is_resumed_from_it(source: str, original: Path) -> None:
    source = source.format(folder=original)
    with pytest.raises(ValueError, match=r"no run is resumed from them: init_from=.* starts a new one"):
        read_origin(settings(f"ckpt='{source}'"))


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])


def flip(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def cut_and_sign(folder: Path) -> None:
    cut(folder)
    sign(folder)


def pickle_and_sign(folder: Path) -> None:
    write_malicious("among the weights", folder / WEIGHTS)
    sign(folder)


def not_finite(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    state = {key: torch.full_like(value, torch.nan) if value.is_floating_point() else value
             for key, value in checkpoint["state_dict"].items()}  # fmt: skip
    write_shared(folder, checkpoint["hyper_parameters"], state)


def names_a_call(folder: Path) -> None:
    change(folder, lambda d: d["description"]["model"]["backbone"].update(_target_="os.system"))


def of_other_classes(folder: Path) -> None:
    change(folder, lambda d: d["description"]["model"].update(class_names=["cat", "dog", "bird"]))


def newer(folder: Path) -> None:
    change(folder, lambda document: document["description"].update(format=99))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, "is not the file that detector.json names by its SHA-256"),
    "a bit": (flip, "is not the file that detector.json names by its SHA-256"),
    "cut off on purpose": (cut_and_sign, "model.safetensors cannot be read as safetensors"),
    "a pickle": (pickle_and_sign, "model.safetensors cannot be read as safetensors"),
    "not finite": (not_finite, "numbers that are not finite"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "copy the whole folder"),
    "no JSON": (
        lambda folder: (folder / DESCRIPTION).write_text("{"),
        "detector.json cannot be read as JSON",
    ),
    "deep JSON": (
        lambda folder: (folder / DESCRIPTION).write_text("[" * 100_000),
        "detector.json cannot be read as JSON",
    ),
    "a list": (lambda folder: (folder / DESCRIPTION).write_text("[]"), "give a folder that detection share"),
    "a call": (names_a_call, "would call 'os.system'.*plugins="),
    "other classes": (of_other_classes, "are of another network"),
    "a newer version": (newer, "was written by a newer version"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_or_poisoned_is_refused_in_a_sentence(kind: str, shared: Path) -> None:
    damage, sentence = DAMAGE[kind]
    damage(shared)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as refused:
        load_task(shared)
    assert "\n" not in str(refused.value)
    assert not (shared / "executed").exists()


def test_the_missing_package_is_named(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"needs safetensors .*pip install -e '\.\[share\]'"):
        load_task(original)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"needs huggingface_hub .*pip install -e '\.\[share\]'"):
        load_task("hf://user/name")


def test_a_detector_comes_from_the_hub_by_revision(
    hub: Hub, shared: Path, ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hub, tmp_path / "cache", monkeypatch)
    first = hub.add_folder("user/name", shared)
    checkpoint = read_checkpoint(ckpt)
    others = {key: value * 2 for key, value in checkpoint["state_dict"].items()}
    write_shared(shared, checkpoint["hyper_parameters"], others)
    hub.add_folder("user/name", shared)
    for address, wanted in (
        (f"hf://user/name@{first}", checkpoint["state_dict"]),
        ("hf://user/name", others),
    ):
        state = read_checkpoint(address)["state_dict"]
        assert all(torch.equal(state[key], value) for key, value in wanted.items())
    fetched = {line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert fetched == {DESCRIPTION, WEIGHTS}
    assert detection.load("hf://user/name", "cpu").class_names == CLASSES
    use(hub, tmp_path / "cache", monkeypatch, offline=True)
    assert read_checkpoint("hf://user/name")["state_dict"].keys() == others.keys()


def test_what_cannot_be_fetched_is_told_in_a_sentence(
    hub: Hub, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hub, tmp_path / "cache", monkeypatch)
    hub.add_folder("user/name", shared)
    hub.commit("user/other", {"README.md": b"nothing"})
    for address, sentence in {
        "hf://user/none": "the hub has no such repository, or it is private: type hf auth login",
        "hf://user/name@v9": "user/name has no revision v9: give a branch, a tag or a commit",
        "hf://user/other": "holds no detector of this project",
        "hf://user": "give hf://user/name, or hf://user/name@revision",
    }.items():
        with pytest.raises(ValueError, match=sentence) as refused:
            load_task(address)
        assert "\n" not in str(refused.value)
    use(hub, tmp_path / "another cache", monkeypatch, offline=True)
    with pytest.raises(ValueError, match="the hub cannot be reached, and user/name was not fetched before"):
        load_task("hf://user/name")


def test_a_poisoned_repository_is_refused(
    hub: Hub, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hub, tmp_path / "cache", monkeypatch)
    hub.add_folder("user/name", shared)
    flip(shared)
    hub.commit("user/name", {WEIGHTS: (shared / WEIGHTS).read_bytes()})
    with pytest.raises(ValueError, match=r"is not the file that detector\.json names"):
        load_task("hf://user/name")
    load_task(f"hf://user/name@{commit_name(0)}")


def test_an_address_names_repository_and_revision() -> None:
    assert address_of("hf://user/name") == ("user/name", None)
    assert address_of(Path("hf://user/my-name.v2@refs/pr/1")) == ("user/my-name.v2", "refs/pr/1")
    assert Export("hf://user/name@v1").path == Path("name.onnx")
