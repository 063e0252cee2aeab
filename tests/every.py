"""Many small cases in one test, without the start and the report that pytest gives to each of its own."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Case = TypeVar("Case")


def for_every(cases: Iterable[Case]) -> Callable[[Callable[[Case], None]], Callable[[], None]]:
    """Make of a check of one case, without fixtures, a test of all; it tells every case that fails."""
    remaining = list(cases)

    def decorate(check: Callable[[Case], None]) -> Callable[[], None]:
        def test() -> None:
            failures = []
            for case in remaining:
                try:
                    check(case)
                except AssertionError as error:
                    failures.append(f"{case}: {error}")
            told = "\n".join(failures)
            assert remaining, "there is no case"
            assert not failures, f"{len(failures)} of {len(remaining)} cases fail:\n{told}"

        # Not functools.wraps, after which pytest would see the argument.
        test.__name__, test.__qualname__, test.__module__ = (
            check.__name__,
            check.__qualname__,
            check.__module__,
        )
        test.__doc__ = check.__doc__
        return test

    return decorate
