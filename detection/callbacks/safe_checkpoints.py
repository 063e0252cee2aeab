"""Checkpoints that are there whole or not at all, and are written while the training goes on."""

import io
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from torch import Tensor

from detection.system.archive import seal
from detection.system.files import written_whole

_MOST = 2  # the best and the last of a validation: one is written, the other one waits


class SafeCheckpointIO(TorchCheckpointIO):
    """Copies a checkpoint and lets the training go on; a thread writes the copies, one after the other.

    Each is written beside its place, and put there only when every byte is on the disk. Lightning writes to
    the system's temporary folder and moves the file; between two disks that is a copy, and a run that is
    killed while it copies has lost the checkpoint it had.

    An error of the thread is raised by the next checkpoint, or where somebody asks (:meth:`raise_if_failed`,
    :meth:`finish`); what waited behind it is not written, so that none is ever newer on the disk than one
    that was saved after it. In host memory is at most one checkpoint as it is written, with the
    bytes of its file, and the copy of one that waits; a third one waits for the first.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._begun: deque[Future[None]] = deque()
        self._error: BaseException | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Begin to write one checkpoint.

        Args:
            checkpoint: what to keep, as it is now.
            path: where; what is there already stays until the new one is complete.
            storage_options: not used.

        Raises:
            OSError: one before could not be written; the message says what is kept.
        """
        while len(self._begun) >= _MOST:
            wait([self._begun.popleft()])
        self.raise_if_failed()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._begun.append(self._thread.submit(self._write, _copy(checkpoint), Path(path)))

    def raise_if_failed(self) -> None:
        """Raise the error of a checkpoint that could not be written; wait for none.

        Raises:
            OSError: the message says what is kept.
        """
        if self._error is not None:
            self.finish()

    def finish(self) -> None:
        """Wait until all that was saved is on the disk.

        Raises:
            OSError: it could not be written; the message says what is kept.
        """
        wait(self._begun)
        self._begun.clear()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint, which may be one that is still being written."""
        self.finish()
        return super().load_checkpoint(*args, **kwargs)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove one, after those that were saved before."""
        self.finish()
        super().remove_checkpoint(path)

    def teardown(self) -> None:
        """Write what waits."""
        try:
            self.finish()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            self._thread = None

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        if self._error is None:
            try:
                _write_whole(checkpoint, path)
            except BaseException as error:
                self._error = error


def finish_checkpoints(trainer: pl.Trainer) -> None:
    """Wait until the checkpoints of a run are on the disk.

    Raises:
        OSError: one could not be written; the message says what is kept.
    """
    if isinstance(checkpoint_io := trainer.strategy.checkpoint_io, SafeCheckpointIO):
        checkpoint_io.finish()


def _write_whole(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(checkpoint, content)
    seal(content)
    try:
        with written_whole(path) as written, written.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        kept = "the one before is kept" if path.exists() else "there was none before"
        raise OSError(f"The checkpoint {path} cannot be written ({error.strerror}): {kept}") from error


def _sync_folder(folder: Path) -> None:
    """Let the disk know names in the order in which they came, whenever the power is cut."""
    if os.name == "posix":  # elsewhere a folder is no file
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """All of a checkpoint, its tensors in the processor's memory, which the training does not change."""
    # deepcopy looks there before it copies; by itself it would leave tensors on their device.
    known = {id(tensor): tensor.detach().to("cpu", copy=True) for tensor in _tensors(checkpoint)}
    return deepcopy(checkpoint, known)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
