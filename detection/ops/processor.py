"""The one question on which the way of computing depends here: CPU or not.

On a CPU time goes with the numbers computed, and a result can be looked at for free. So work is done image
by image, while it fits the cache, and only where it is needed. On a GPU time goes with the number of
operations, and whoever looks at a result waits for all before it. So a whole batch is computed at once,
needed or not, and masked. Both ways give the same result.
"""

from torch import Tensor


def on_cpu(tensor: Tensor) -> bool:
    """Whether to compute little, not in few operations. Call ``processor.on_cpu``: tests replace it there."""
    return tensor.device.type == "cpu"
