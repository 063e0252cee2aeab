"""Times two ways of doing the same work against each other, and what a row of the table says."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Result(NamedTuple):
    """One row of the table."""

    row: str
    work: str
    ours: float
    peer: float | None
    """None where the target is a number and not a ratio."""
    unit: str
    ratio: float | None
    spread: tuple[float, float] | None
    """Quartiles of the ratio over the rounds."""
    target: str
    met: bool


Benchmark = Callable[[], Iterator[Result]]
"""Gives the results of one row of the table, one or several."""


def timed(
    row: str,
    work: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    at_most: float,
    rounds: int = 15,
    clock: Callable[[], float] = time.process_time,
    warm: bool = True,
) -> Result:
    """Time ours and the peer's: ours, peer, peer, ours and so on, so that a drift of the machine hits both.

    Args:
        row: number of the row.
        work: what is done, in words.
        ours: does it once.
        peer: does it once.
        at_most: target for the ratio of the medians.
        rounds: how often each is timed.
        clock: in seconds; by default the processor time of this process.
        warm: run each once before; not worth it where a run takes minutes.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    sides = (ours, peer)
    for side in sides if warm else ():  # what is computed once, and cold caches, do not count
        side()
    gc.collect()
    gc.disable()
    for i in range(rounds):
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            start = clock()
            sides[which]()
            seconds[which].append(clock() - start)
    gc.enable()
    return compared(row, work, seconds[0], seconds[1], at_most)


def compared(row: str, work: str, ours: list[float], peer: list[float], at_most: float) -> Result:
    """The row of two lists of seconds, taken in turns."""
    middle, peer_middle = statistics.median(ours), statistics.median(peer)
    ratio = middle / peer_middle
    quartiles = statistics.quantiles([a / b for a, b in zip(ours, peer, strict=True)], n=4)
    return Result(
        row,
        work,
        1000 * middle,
        1000 * peer_middle,
        "ms",
        ratio,
        (quartiles[0], quartiles[2]),
        f"<= {at_most:g} x",
        ratio <= at_most,
    )


def counted(row: str, work: str, ours: float, at_most: float, unit: str, peer: float | None = None) -> Result:
    """The row of a number with a limit, which a peer's number puts into proportion."""
    ratio = ours / peer if peer else None
    return Result(row, work, ours, peer, unit, ratio, None, f"<= {at_most:g} {unit}", ours <= at_most)
