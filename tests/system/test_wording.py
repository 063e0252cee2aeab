"""Numbers and their nouns."""

import pytest

from detection.system.wording import counted, in_a_list, some_of


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2501, "image", "2,501 images"),
        (3, "class", "3 classes"),
        (1, "class", "1 class"),
        (2, "box", "2 boxes"),
        (2, "epoch", "2 epochs"),
        (2, "batch", "2 batches"),
    ],
)
def test_one_is_no_plural(number: int, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected


def test_a_comma_in_a_name_parts_no_list() -> None:
    assert ", ".join(map(in_a_list, ["red, green", "blue", "x" * 99])) == f"'red, green', blue, {'x' * 59}…"


def test_of_hundreds_of_names_the_first_are_told() -> None:
    names = [f"class{i}" for i in range(1300)]
    assert some_of(names[:20]) == ", ".join(names[:20]), "all of VOC's"
    assert some_of(names) == ", ".join(names[:20]) + " and 1,280 more"
    assert some_of([]) == ""
