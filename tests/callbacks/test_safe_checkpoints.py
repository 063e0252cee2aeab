"""A checkpoint is there whole or not at all, whatever happens while it is written."""

import errno
import multiprocessing
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from detection.callbacks.safe_checkpoints import SafeCheckpointIO


def content(value: float, size: int = 1000) -> dict[str, torch.Tensor]:
    return {"weights": torch.full((size,), value)}


def write(value: float, path: Path, size: int = 1000) -> None:
    """Write a checkpoint to its end."""
    writer = SafeCheckpointIO()
    writer.save_checkpoint(content(value, size), path)
    writer.teardown()


def weights(path: Path) -> torch.Tensor:
    value: torch.Tensor = torch.load(path, weights_only=True)["weights"]
    return value


def _processes() -> "multiprocessing.context.ForkServerContext":
    """Not forked from this process, whose threads may hold a lock that a writer would wait for."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    return processes


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "last.ckpt"
    for value in (1.0, 2.0):
        write(value, path)
        assert weights(path).eq(value).all()
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def die_while_writing(path: Path) -> None:
    """Writes half of what it should, then dies as if killed."""

    def die(descriptor: int) -> None:
        os.ftruncate(descriptor, 500)
        os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = die  # type: ignore[assignment]
    write(2.0, path)


def test_a_writer_that_dies_midway_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write(1.0, path)
    writer = _processes().Process(target=die_while_writing, args=(path,))
    writer.start()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL
    assert weights(path).eq(1.0).all()
    assert len(list(tmp_path.iterdir())) == 2, "the half file is there beside"
    write(3.0, path)
    assert weights(path).eq(3.0).all()
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"], "and the next one takes its place"


def write_for_ever(path: Path) -> None:
    value = 1.0
    while True:
        write(value, path, 300_000)
        value += 1


def test_a_writer_killed_at_any_time_leaves_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(8):
        writer = _processes().Process(target=write_for_ever, args=(path,))
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
    write(1.0, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt cannot be written \(File too large\): the one before"):
            write(2.0, path, 100_000)
        with pytest.raises(OSError, match=r"best\.ckpt cannot be written .*: there was none before"):
            write(2.0, tmp_path / "best.ckpt", 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert weights(path).eq(1.0).all()
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"], "the half file takes no place"


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write(1.0, tmp_path / "file/last.ckpt")


def hold(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let nothing reach the disk before the event."""
    go, sync = threading.Event(), os.fsync

    def wait_and_sync(descriptor: int) -> None:
        assert go.wait(30)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_and_sync)
    return go


def test_training_goes_on_while_a_checkpoint_is_written_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, writer = hold(monkeypatch), SafeCheckpointIO()
    module = torch.nn.BatchNorm1d(3)
    optimizer = {"state": {0: {"momentum": torch.zeros(3)}}, "groups": [{"lr": 0.1}]}
    kept = {"state_dict": module.state_dict(), "optimizer_states": [optimizer], "tied": (module.weight,) * 2}
    writer.save_checkpoint(kept, tmp_path / "last.ckpt")
    assert not (tmp_path / "last.ckpt").exists(), "it is not waited for"
    with torch.no_grad():
        module.weight.fill_(7)
    optimizer["state"][0]["momentum"].fill_(7)  # type: ignore[index]
    optimizer["groups"][0]["lr"] = 7  # type: ignore[index]
    go.set()
    found = writer.load_checkpoint(tmp_path / "last.ckpt")  # which waits for it
    assert found["state_dict"]["weight"].eq(1).all()
    versions = [vars(state)["_metadata"] for state in (found["state_dict"], module.state_dict())]
    assert versions[0] == versions[1], "torch's own note"
    assert found["optimizer_states"][0]["state"][0]["momentum"].eq(0).all()
    assert found["optimizer_states"][0]["groups"] == [{"lr": 0.1}]
    assert found["tied"][0].data_ptr() == found["tied"][1].data_ptr()
    writer.teardown()


def test_checkpoints_come_in_their_order_and_a_third_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, writer = hold(monkeypatch), SafeCheckpointIO()
    for value, name in enumerate(("best", "last")):
        writer.save_checkpoint(content(value), tmp_path / f"{name}.ckpt")
    third = threading.Thread(target=writer.save_checkpoint, args=(content(2.0), tmp_path / "last.ckpt"))
    third.start()
    third.join(0.2)
    assert third.is_alive()
    assert not list(tmp_path.glob("*.ckpt"))
    go.set()
    third.join(30)
    writer.remove_checkpoint(tmp_path / "best.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert weights(tmp_path / "last.ckpt").eq(2).all()
    writer.teardown()


def test_after_an_error_what_waits_is_not_written_and_the_error_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last would know a best that is not there."""
    go, writer = threading.Event(), SafeCheckpointIO()

    def fail(descriptor: int) -> None:
        assert go.wait(30)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        for name in ("best", "last"):
            writer.save_checkpoint(content(1.0), tmp_path / f"{name}.ckpt")
        writer.raise_if_failed()
        go.set()
        with pytest.raises(OSError, match=r"best\.ckpt cannot be written \(No space left .*: there was none"):
            writer.finish()
    assert not list(tmp_path.iterdir())
    writer.save_checkpoint(content(2.0), tmp_path / "last.ckpt")
    writer.teardown()
    assert weights(tmp_path / "last.ckpt").eq(2).all()
