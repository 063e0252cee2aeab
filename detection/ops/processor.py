"""The one question on which the way of computing depends here: CPU or not.

On a CPU time goes with the numbers computed, and a result can be looked at for free. So work is done image
by image, while it fits the cache, and only where it is needed. On a GPU time goes with the number of
operations, and whoever looks at a result waits for all before it. So a whole batch is computed at once,
needed or not, and masked. Both ways give the same result.
"""

import torch
from torch import Tensor


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
