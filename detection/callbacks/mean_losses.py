"""The training losses of an epoch so far, and whether they grow from epoch to epoch."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_GROWTH = 3  # times the least mean loss of an epoch: no noise does that
_HUGE = 100  # untrained networks begin at a tenth of this


class MeanLosses:
    """The means of the training losses over an epoch so far; those of a single step are mostly chance."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Take up a step. Nothing waits for the device."""
        for name, value in metrics.items():
            if name.startswith("train/loss"):
                finite = value.isfinite()  # else callbacks.bad_loss has passed over the step
                self._sums[name] = self._sums.get(name, 0) + value.where(finite, 0)
                self._counts[name] = self._counts.get(name, 0) + finite.long()

    def so_far(self) -> dict[str, float]:
        """The means, by the names of the losses."""
        return {name: float(total / self._counts[name]) for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """The means so far, in parts."""
        parts = {"sums": self._sums, "counts": self._counts}
        return {part: {name: value.cpu() for name, value in values.items()} for part, values in parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume the epoch."""
        self._sums, self._counts = dict(state_dict["sums"]), dict(state_dict["counts"])

    def describe(self, with_parts: bool) -> str:
        """``loss 3.214 (cls 2.341, box 0.873)``, or the sum alone."""
        means = {name.removeprefix("train/loss"): f"{mean:.3f}" for name, mean in self.so_far().items()}
        total = means.pop("", "")
        parts = ", ".join(f"{name.removeprefix('_')} {mean}" for name, mean in means.items())
        return f"loss {total}" + (f" ({parts})" if parts and with_parts else "")


class LossGrowth:
    """Notices once that a training diverges, while its loss is still a number."""

    def __init__(self) -> None:
        self._least = math.inf
        self._told = False

    def look(self, mean: float, rate: float) -> str:
        """Look at an epoch.

        Args:
            mean: its mean loss.
            rate: the learning rate of its last step.

        Returns:
            A line for the user, or nothing.
        """
        grows = mean > min(_GROWTH * self._least, _HUGE) and not self._told
        self._least = min(self._least, mean)
        self._told = self._told or grows
        if not grows:
            return ""
        return (
            f"The loss grows to {mean:.3g}: the learning rate is likely too high. Lower it, such as "
            f"optimizer.lr={rate / 10:.1g}, or find one by find=lr."
        )
