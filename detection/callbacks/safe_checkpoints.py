"""Checkpoints that are there whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from detection.system.archive import seal
from detection.system.files import written_whole


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and puts it there only when every byte is on the disk.

    Lightning writes to the system's temporary folder and moves the file; between two disks that is a copy,
    and a run that is killed while it copies has lost the checkpoint it had.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write one checkpoint.

        Args:
            checkpoint: what to keep.
            path: where; what is there already stays until the new one is complete.
            storage_options: not used.

        Raises:
            OSError: the file cannot be written; the message says what is kept.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        seal(content)
        try:
            with written_whole(path) as written, written.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            kept = "the one before is kept" if path.exists() else "there was none before"
            raise OSError(f"The checkpoint {path} cannot be written ({error.strerror}): {kept}") from error
