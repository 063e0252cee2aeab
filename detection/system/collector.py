"""Python's collector of garbage, which need not look while a command starts or a set is read."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect no garbage meanwhile.

    Imports and large sets make objects by the million, and all of them stay. Looking through them again and
    again takes a fifth of the time of importing torch. Afterwards they count as old, else the next collection
    would look through all of them at once. (They are not set apart for good: nanobind, by which triton is
    bound, would complain of leaks at the end.)
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()  # to the oldest generation, wherever they were before
            gc.enable()
