"""Values of a program beside the annotations of what it calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from detection.bounds import Positive, Share, Tiles
from detection.validation.arguments import check_arguments


def function(
    share: Share,
    count: Positive,
    tiles: Tiles | None,
    names: Sequence[str],
    path: str | Path,
    kind: Literal["a", "b"] | None = None,
) -> None:
    """Has annotations."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("share", value) for value in (0, 1, 0.5, np.float32(0.5))],
        ("count", np.int64(3)),
        *[("tiles", value) for value in (np.int64(64), [np.int32(2), 3], (np.int64(2), np.int64(3)))],
        *[("tiles", value) for value in (None, "auto", 64, [2, 3], (2, 3))],
        *[("names", value) for value in ([], ("a",), ["a", "b"])],
        *[("path", value) for value in ("a", Path("a"))],
        ("kind", "b"),
    ],
)
def test_what_fits_passes(name: str, value: Any) -> None:
    check_arguments(function, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "error", "told"),
    [
        ("share", "0.5", TypeError, "share='0.5': give a number from 0 to 1."),
        ("share", True, TypeError, "share=True: give a number from 0 to 1."),
        ("share", float("nan"), ValueError, "share=nan: give a number from 0 to 1."),
        ("count", 0, ValueError, "count=0: give a whole number of at least 1."),
        ("tiles", 5, ValueError, "tiles=5: give auto or a whole number from 32"),
        ("names", "abc", TypeError, "names='abc': give a list of words, such as ['a', 'b']."),
        ("path", b"a", TypeError, "path=b'a': give a word or a path."),
        ("kind", "c", ValueError, "kind='c': give one of a, b or None."),
    ],
)
def test_the_rest_is_refused_with_what_to_give(
    name: str, value: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as raised:
        check_arguments(function, {name: value})
    assert str(raised.value).startswith(told)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(TypeError) as raised:
        check_arguments(function, {"path": np.zeros(500)})
    assert len(str(raised.value)) < 120
