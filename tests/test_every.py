"""Many cases in one test: all run, and all that fail are told."""

import pytest

from tests.every import for_every


def test_every_case_runs_and_every_failure_is_told() -> None:
    seen = []

    @for_every(range(5))
    def check(number: int) -> None:
        seen.append(number)
        assert number % 2 == 0, f"{number} is odd"

    with pytest.raises(AssertionError, match=r"(?s)2 of 5 cases fail:\n1: 1 is odd.*\n3: 3 is odd"):
        check()
    assert seen == [0, 1, 2, 3, 4]


def test_no_case_and_an_error_are_failures() -> None:
    with pytest.raises(AssertionError, match="there is no case"):
        for_every([])(lambda case: None)()
    with pytest.raises(ZeroDivisionError):
        for_every([0])(lambda case: print(1 / case))()
