"""Checkpoints at Weights & Biases are fetched, checked like any other, or refused in a sentence."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import wandb

from detection.checkpoints.loading import read_checkpoint
from detection.checkpoints.runs import find_checkpoint
from detection.checkpoints.wandb_artifacts import fetch_artifact
from tests.wandb_server import Store, serving

KEY = "0123456789" * 4
ADDRESS = "wandb://me/detection/model-x:best"


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, folder in (("HOME", "home"), ("NETRC", "home/.netrc"), ("XDG_CACHE_HOME", "cache")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    wandb.teardown()
    yield
    wandb.teardown()


@contextmanager
def logged_in(content: bytes) -> Iterator[Store]:
    with serving(content) as store, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_BASE_URL", store.address)
        yield store


def test_a_checkpoint_is_fetched_once(
    tmp_path: Path, write_checkpoint: Callable[[Path, str, list[str]], Path]
) -> None:
    path = write_checkpoint(tmp_path, "quickstart", ["cat"])
    with logged_in(path.read_bytes()) as store:
        first, again = read_checkpoint(ADDRESS), read_checkpoint(Path(ADDRESS))
        fetched = find_checkpoint(ADDRESS, "/nowhere")
    assert first["hyper_parameters"] == again["hyper_parameters"] == read_checkpoint(path)["hyper_parameters"]
    assert fetched is not None
    assert fetched.read_bytes() == path.read_bytes()
    assert fetched.is_relative_to(tmp_path / "cache/lightning-detection")
    assert store.sent == 1


class Trap:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("poisoned", ["code", "description", "junk"])
def test_a_poisoned_download_is_refused(
    poisoned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {
        "code": {"state_dict": Trap()},
        "description": {
            "state_dict": {},
            "hyper_parameters": {"model": {"_target_": "os.mkdir"}, "data": {}},
        },
    }
    file = io.BytesIO(b"junk")
    if poisoned in contents:
        torch.save(contents[poisoned], file)
    with logged_in(file.getvalue()), pytest.raises(ValueError, match=r"cannot be (read as a|opened safely)"):
        read_checkpoint(ADDRESS)
    assert not (tmp_path / "trapped").exists()


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        logged_in(b"x"),
        pytest.raises(ValueError, match=r"model-y:best cannot be fetched \(.*type wandb login"),
    ):
        fetch_artifact("wandb://me/detection/model-y:best")
    wandb.teardown()
    with pytest.raises(ValueError, match=r"cannot be fetched \(nobody is logged in here\): type wandb login"):
        fetch_artifact(ADDRESS)
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    with pytest.raises(ValueError, match=r"cannot be fetched \(WANDB_MODE keeps it offline\)"):
        fetch_artifact(ADDRESS)


@pytest.mark.parametrize("address", ["wandb://me/x:best", "wandb://me/detection/x", "wandb://a/b/c/d:best"])
def test_an_address_has_four_parts(address: str) -> None:
    with pytest.raises(ValueError, match=r"give wandb://entity/project/name:alias, such as"):
        read_checkpoint(address)
