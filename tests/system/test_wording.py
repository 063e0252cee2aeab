"""Numbers and their nouns."""

import pytest

from detection.system.wording import counted, escaped, in_a_list, some_of, wrong_file_name


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


@pytest.mark.parametrize(
    ("name", "shown", "wrong"),
    [
        ("straße, 日本 (1) 👩‍🚀.jpg", "straße, 日本 (1) 👩‍🚀.jpg", None),
        ("b\udce9.jpg", "b\\xe9.jpg", "not in UTF-8"),
        ("\x1b]0;x\x07.jpg", "\\x1b]0;x\\x07.jpg", "control characters"),
        ("a\nb", "a\\nb", "control characters"),
        ("a\u2028b", "a\\u2028b", "control characters"),
        ("gpj.\u202eb", "gpj.\\u202eb", None),  # turned around, but a name
        ("\x9b31mred", "\\x9b31mred", "control characters"),
    ],
)
def test_names_of_files_are_letters(name: str, shown: str, wrong: str | None) -> None:
    assert escaped(name) == shown
    assert escaped(f"{name}\nb", but="\n").endswith("\nb")
    told = wrong_file_name(f"folder/{name}")
    assert told is None if wrong is None else wrong in str(told)
