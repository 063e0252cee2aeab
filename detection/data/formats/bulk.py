"""Reading very many files or objects: in several processes, and without the garbage collector."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

_MANY = 4000  # files that take one process some seconds
_CHUNK = 250

_IN_A_PROCESS_OF_THE_POOL: list[Callable[[Any], Any]] = []
"""What it does with an item: sent once, not with each chunk."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_many(read: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Reads files, in several processes where there are many.

    Args:
        read: reads one; can be pickled. What it changes is lost, only what it returns counts.
        items: what it is given.

    Yields:
        What it returned for each, in their order.
    """
    if len(items) < _MANY:
        yield from map(read, items)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(cores, initializer=_IN_A_PROCESS_OF_THE_POOL.append, initargs=(read,)) as pool:
        yield from pool.map(_apply, items, chunksize=_CHUNK)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Keeps the garbage collector from looking at millions of new objects again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _apply(item: Any) -> Any:
    return _IN_A_PROCESS_OF_THE_POOL[0](item)
