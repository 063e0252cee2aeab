"""Whether the batches that a loader's processes make have room in the memory that they travel through."""

import shutil
from pathlib import Path

import torch

from detection.bounds import height_and_width
from detection.data.datamodule import DetectionDataModule

SHARED_MEMORY = Path("/dev/shm")
AHEAD = 2  # batches that each process of torch's loader makes beforehand
_IN_USE = 2  # one on its way to the network, and one that Lightning has asked for already


def check_shared_memory(datamodule: DetectionDataModule, devices: int) -> None:
    """Refuse to start where the batches do not fit: the run would wait for ever for one that cannot be sent.

    Systems without a folder for shared memory are passed over: macOS and Windows have no such limit.

    Args:
        datamodule: after its setup.
        devices: processes of this machine that train, each with a loader of its own.

    Raises:
        ValueError: with what is needed, what there is, and what to type.
    """
    workers = datamodule.num_workers
    if workers == 0 or not SHARED_MEMORY.is_dir():
        return
    batch = _bytes_per_batch(datamodule)
    needed, free = devices * _batches(workers) * batch, shutil.disk_usage(SHARED_MEMORY).free
    if needed <= free:
        return
    fitting = max(
        (fewer for fewer in range(1, workers) if devices * _batches(fewer) * batch <= free), default=0
    )
    raise ValueError(
        f"Loaded images travel through {SHARED_MEMORY}, which has {_megabytes(free)} free and needs "
        f"{_megabytes(needed)}: {workers} processes (data.num_workers) make {AHEAD} batches of "
        f"{_megabytes(batch)} ahead, {_IN_USE} more are in use"
        f"{f', on each of {devices} devices' if devices > 1 else ''}. Set "
        f"data.num_workers={fitting}, or a smaller data.batch_size, or enlarge it (docker run --shm-size=8g)."
    )


def _batches(workers: int) -> int:
    return workers * AHEAD + _IN_USE


def _bytes_per_batch(datamodule: DetectionDataModule) -> int:
    """Bytes of the largest batch of one device."""
    height, width = height_and_width(datamodule.size)
    image = 3 * height * width
    images = datamodule.images_at_once
    evaluated = (datamodule.eval_batch_size or images) * image
    return max(images * (image + _bytes_of_targets(datamodule, (height, width))), evaluated)


def _bytes_of_targets(datamodule: DetectionDataModule, size: tuple[int, int]) -> int:
    """Bytes that targets which are assigned in the loader's processes add to an image."""
    if datamodule.assign is None:
        return 0
    boxes, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    if datamodule.collate == "padded":
        assigned = datamodule.assign(boxes[None], labels[None])
    else:
        nothing = {"boxes": boxes, "labels": labels, "difficult": labels.bool(), "image_id": "", "size": size}
        assigned = datamodule.assign([size], [nothing])
    return sum(tensor.nbytes for tensor in assigned)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
