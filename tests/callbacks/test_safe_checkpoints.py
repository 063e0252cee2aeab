"""A checkpoint is there whole or not at all, whatever happens while it is written."""

import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest
import torch

from detection.callbacks.safe_checkpoints import SafeCheckpointIO


def content(value: float, size: int = 1000) -> dict[str, torch.Tensor]:
    return {"weights": torch.full((size,), value)}


def weights(path: Path) -> torch.Tensor:
    value: torch.Tensor = torch.load(path, weights_only=True)["weights"]
    return value


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "last.ckpt"
    for value in (1.0, 2.0):
        SafeCheckpointIO().save_checkpoint(content(value), path)
        assert weights(path).eq(value).all()
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def die_while_writing(path: Path) -> None:
    """Writes half of what it should, then dies as if killed."""

    def die(descriptor: int) -> None:
        os.ftruncate(descriptor, 500)
        os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = die  # type: ignore[assignment]
    SafeCheckpointIO().save_checkpoint(content(2.0), path)


def test_a_writer_that_dies_midway_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(content(1.0), path)
    writer = multiprocessing.get_context("fork").Process(target=die_while_writing, args=(path,))
    writer.start()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL
    assert weights(path).eq(1.0).all()
    assert len(list(tmp_path.iterdir())) == 2, "the half file is there beside"
    SafeCheckpointIO().save_checkpoint(content(3.0), path)
    assert weights(path).eq(3.0).all()
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"], "and the next one takes its place"


def write_for_ever(path: Path) -> None:
    value = 1.0
    while True:
        SafeCheckpointIO().save_checkpoint(content(value, 300_000), path)
        value += 1


def test_a_writer_killed_at_any_time_leaves_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(8):
        writer = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(path,))
        writer.start()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.013 * number)
        writer.kill()
        writer.join(30)
        found = weights(path)
        assert found.eq(found[0]).all()


def test_a_full_disk_keeps_the_one_before_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(content(1.0), path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt cannot be written \(File too large\): the one before"):
            SafeCheckpointIO().save_checkpoint(content(2.0, 100_000), path)
        with pytest.raises(OSError, match=r"best\.ckpt cannot be written .*: there was none before"):
            SafeCheckpointIO().save_checkpoint(content(2.0, 100_000), tmp_path / "best.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert weights(path).eq(1.0).all()
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"], "the half file takes no place"


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        SafeCheckpointIO().save_checkpoint(content(1.0), tmp_path / "file/last.ckpt")
