"""Top-k with a stated order among equal values."""

import torch
from torch import Tensor


def sortable_bits(values: Tensor) -> Tensor:
    """The bits of non-negative float32 numbers, read as integers, which sort like the numbers; int32."""
    return values.view(torch.int32)


def stable_topk(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest values of the last dimension; of equal values the lower index comes first.

    `torch.topk` leaves the choice among equal values open, and equal values are common here: anchors
    are symmetric about a box, and a new classifier gives every anchor the same loss. A stable sort
    would settle it, but costs five to fifty times as much on a CPU.

    Args:
        values: float ``(..., N)``, non-negative. Negative values rank after all others, in no stated order.
        k: how many to take, at most ``N``.

    Returns:
        The values, float32 ``(..., k)``, descending, and their indices, int64 ``(..., k)``.
    """
    # The value goes into the high half of an int64 and the reversed index into the low half, so no two keys
    # are equal.
    # Adding zero turns -0.0, whose sign bit would rank it last, into 0.0.
    values = values.float() + 0.0
    reversed_index = torch.arange(values.shape[-1] - 1, -1, -1, device=values.device)
    keys = sortable_bits(values).long().bitwise_left_shift_(32).bitwise_or_(reversed_index)
    indices = values.shape[-1] - 1 - (keys.topk(k, dim=-1).values & 0xFFFFFFFF)
    return values.gather(-1, indices), indices
