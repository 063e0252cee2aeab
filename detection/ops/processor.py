"""The one question on which the way of computing depends here: CPU or not.

On a CPU time goes with the numbers computed, and a result can be looked at for free. So work is done image
by image, while it fits the cache, and only where it is needed. On a GPU time goes with the number of
operations, and whoever looks at a result waits for all before it. So a whole batch is computed at once,
needed or not, and masked. Both ways give the same result.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Per thread. The maps of more images leave its cache: each of eight images of 300x300 takes an SSD with
# MobileNetV2 1.35 times as long as each of two or four (measured).
_PIXELS_AT_ONCE = 360_000


def on_cpu(tensor: Tensor) -> bool:
    """Whether to compute little, not in few operations. Call ``processor.on_cpu``: tests replace it there."""
    return tensor.device.type == "cpu"


def of_this_machine(device: str) -> str:
    """Look for a device.

    Args:
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.

    Returns:
        The device, as torch calls it.

    Raises:
        ValueError: it is not there.
    """
    there = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if there else "cpu"
    if device.startswith("cuda") and not there:
        raise ValueError(f"device={device}: no GPU can be used here; set device=cpu, or device=auto.")
    last = torch.cuda.device_count() - 1
    if device.startswith("cuda:") and int(device[5:]) > last:
        raise ValueError(f"device={device}: the last GPU of this machine is cuda:{last}.")
    return device


def images_at_once(images: Sequence[Tensor] | Tensor, height: int, width: int) -> int:
    """How many images of a batch a network should take at once where it only predicts: on a CPU a few.

    Args:
        images: the batch, one image or more.
        height: of each, in pixels.
        width: of each, in pixels.
    """
    if not on_cpu(images[0]):
        return len(images)
    return max(1, torch.get_num_threads() * _PIXELS_AT_ONCE // (height * width))
