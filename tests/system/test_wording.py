"""Numbers and their nouns."""

import pytest

from detection.system.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2501, "image", "2,501 images"),
        (3, "class", "3 classes"),
        (1, "class", "1 class"),
        (2, "box", "2 boxes"),
    ],
)
def test_one_is_no_plural(number: int, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected
