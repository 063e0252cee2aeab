"""What a search may try, from Hydra's override grammar."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(overrides: Iterable[Override]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Split overrides into what is searched and what is the same in every trial.

    ``interval(1e-4, 1e-2)`` is a number between the two, ``tag(log, interval(...))`` one on a logarithmic
    scale, ``int(interval(1, 8))`` a whole number, ``range(1, 9, 2)`` one of 1, 3, 5, 7; ``choice(a, b)`` and
    ``a,b`` are values without an order, ``glob(*)`` any file of a group.

    Args:
        overrides: a later one replaces an earlier one of the same key.

    Returns:
        The distribution of each key that is searched, and the other overrides as they were given.
    """
    last = {override.get_key_element(): override for override in overrides}
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    fixed = [str(override.input_line) for override in last.values() if not override.is_sweep_override()]
    return space, fixed


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        log = "log" in sweep.tags
        if isinstance(sweep.start, int):
            return IntDistribution(int(sweep.start), int(sweep.end), log=log)
        return FloatDistribution(sweep.start, sweep.end, log=log)
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        if all(isinstance(value, int) for value in values):
            return IntDistribution(int(values[0]), int(values[-1]), step=int(sweep.step))
        return FloatDistribution(float(values[0]), float(values[-1]), step=float(sweep.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
