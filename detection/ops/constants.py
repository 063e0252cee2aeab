"""Small float32 tensors of fixed numbers, which stay on their device."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def constant(values: tuple[Any, ...], device: torch.device | str | None) -> Tensor:
    """Like ``torch.tensor``, but the numbers travel to the device once: the host waits for a GPU then.

    Args:
        values: nested tuples of numbers.
        device: where the tensor is wanted.

    Returns:
        A float32 tensor that others share: do not write to it.
    """
    if torch.compiler.is_compiling():  # tensors are not real then, and must not be kept
        return torch.tensor(values, dtype=torch.float32, device=device)
    return _kept(values, device)


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)  # a training may use what an evaluation made
def _kept(values: tuple[Any, ...], device: torch.device | str | None) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)
