"""Values of the command line beside what constructors ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest

from detection.bounds import Factor
from detection.validation.values import asked_for, fits, meant, typed
from tests.every import for_every

CLASSES = Union[Sequence[str], Literal["voc"], None]  # noqa: UP007
READINGS: list[tuple[Any, Any, Any]] = [
    (10.0, int, 10),
    (10.0, Optional[int], 10),  # noqa: UP045
    ("10", int, 10),
    ("1e3", int, 1000),
    ("'0.1'", float, 0.1),
    ([10], int, 10),
    ([10.0], int, 10),
    (512.0, int | Sequence[int], 512),
    ([512.0, 300.0], int | Sequence[int], [512, 300]),
    ("300, 500", int | Sequence[int], [300, 500]),
    (0.5, Sequence[float], [0.5]),
    ("cat", CLASSES, ["cat"]),
    ("cat, dog", list[str], ["cat", "dog"]),
    ([1, 2], list[str], ["1", "2"]),
    ([None, 1, True, "cat"], list[str], ["null", "1", "true", "cat"]),
    ("[dog, Fußgänger]", CLASSES, ["dog", "Fußgänger"]),  # a list in quotes
    ("{Fußgänger:person}", dict[str, str], {"Fußgänger": "person"}),
    (2024, str, "2024"),
    ("train", Sequence[tuple[int | str, str] | str], ["train"]),
    ("json", tuple[Literal["images", "json"], ...], ["json"]),
    ("yes", bool, True),
    (0, bool, False),
    ("none", int | None, None),
    ("ONNX", Literal["onnx", "torch_export"], "onnx"),
]


@for_every(READINGS)
def test_what_was_meant(case: tuple[Any, Any, Any]) -> None:
    value, annotation, expected = case
    assert fits(value, annotation) is False
    read = meant(value, annotation)
    assert (read, type(read)) == (expected, type(expected))
    assert fits(read, annotation)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (10.5, int),
        (True, int),
        ("abc", int),
        ("10k", int),
        ("nan", float),
        (2, bool),
        ([1, 2], int),
        (300, tuple[int, int]),
        ("slow", Literal["fast", "exact"]),
        ({"a": 1}, str),
    ],
)
def test_no_reading_is_sensible(value: Any, annotation: Any) -> None:
    with pytest.raises(LookupError):
        meant(value, annotation)


def test_what_is_asked_for_is_told_in_words() -> None:
    told = {
        asked_for(int | None): "a whole number or null",
        asked_for(str | Path): "a word or a path",
        asked_for(CLASSES): "voc or null or a list of words, such as [a,b]",
        asked_for(int | Sequence[int]): "a whole number or a list of whole numbers, such as [1,2]",
        asked_for(tuple[int, int]): "a list of 2 whole numbers, such as [1,2]",
        asked_for(
            tuple[Literal["images", "json"], ...]
        ): "a list of some of images, json, such as [images,json]",
        asked_for(Literal["64", "32"] | Literal[64, 32] | None): "one of 64, 32 or null",
        asked_for(dict[str, str] | None): "pairs, such as {a:b} or null",
        asked_for(dict[str, Factor]): "pairs, such as {name: 2}, each with a number from 0 to 1,000",
        asked_for(READINGS.__class__.__mro__[-1]): "a part with a _target_ (object)",
    }
    assert list(told) == list(told.values())


def test_a_value_is_shown_as_it_is_typed() -> None:
    shown = [None, True, 0.1, "cat", "10", "yes", ["a", 1], {"a": "b"}, "x" * 100]
    assert [typed(value) for value in shown] == [
        "null", "true", "0.1", "cat", "'10'", "'yes'", "[a,1]", "{a:b}", "x" * 60 + "...",
    ]  # fmt: skip
