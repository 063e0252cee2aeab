"""Which parameters learn at which rate, and which of them decay."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
"""Makes an optimizer of parameters, or of groups of them."""


def grouped_optimizer(
    make: MakeOptimizer,
    trained: Iterable[nn.Parameter],
    blocks: Sequence[nn.Module],
    layer_decay: float,
    decay_norms: bool,
) -> Optimizer:
    """Makes an optimizer whose groups differ in rate and decay; the first has the configured rate.

    Each block learns at ``layer_decay`` times the rate of the one behind it, and the last at that share of
    the rate of all that is behind the blocks: the nearer to the pixels, the less does a layer depend on the
    task (ELECTRA, Clark et al., 2020, appendix A).

    Args:
        make: makes the optimizer.
        trained: the parameters that it gets.
        blocks: of the backbone, from the input on.
        layer_decay: 1 gives all parameters one rate.
        decay_norms: whether biases and the scales of norms decay as other weights do.
    """
    factors: dict[nn.Parameter, float] = {}
    for depth, block in enumerate(reversed(blocks), start=1):
        factors |= dict.fromkeys(block.parameters(), layer_decay**depth)
    divided: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in trained:
        decays = decay_norms or parameter.ndim > 1
        divided.setdefault((factors.get(parameter, 1.0), decays), []).append(parameter)
    in_order = sorted(divided, reverse=True)
    undecayed = {"weight_decay": 0.0}
    optimizer = make([{"params": divided[key], **({} if key[1] else undecayed)} for key in in_order])
    for group, (factor, _) in zip(optimizer.param_groups, in_order, strict=True):
        group["lr"] *= factor
    return optimizer
