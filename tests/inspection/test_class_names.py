"""Names that mean the same class, and names that only look alike."""

import unicodedata
from collections.abc import Sequence

import pytest

from detection.data.classes import found_classes, select_classes
from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.inspection.class_names import ClassNames, resolve_class_names


def resolve(
    train: Sequence[str], val: Sequence[str] = (), declared: Sequence[str] | None = None, skip: bool = False
) -> ClassNames:
    records = {}
    for split, names in (("train", train), ("val", val)):
        objects = tuple(ObjectRecord(name, (0, 0, 9, 9), False, i) for i, name in enumerate(names, 1))
        records[split] = [ImageRecord("a", "a.jpg", (20, 20), objects, f"{split}.xml")]
    return resolve_class_names(records, declared, skip)


def test_the_most_frequent_spelling_names_a_class() -> None:
    names = resolve(["traffic light"] * 3 + ["Traffic_Light", "TrafficLight", "car"])
    assert names.classes == ("car", "traffic light")
    assert names.meaning["TrafficLight"] == names.meaning["Traffic_Light"] == "traffic light"
    assert [(item.kind, item.file, item.object) for item in names.findings] == [
        ("similar-class-names", "train.xml", 4),
        ("similar-class-names", "train.xml", 5),
    ]


@pytest.mark.parametrize("declared", [None, ("dog", "cat")])
def test_capitals_alone_are_said_to_make_no_other_class(declared: tuple[str, str] | None) -> None:
    names = resolve(["dog"] * 3 + ["Dog", "cat"], declared=declared)
    (finding,) = names.findings
    assert finding.message.endswith("is 'dog' in other capitals: a training takes both for one class")


@pytest.mark.parametrize("declared", [("dog", "Dog"), ("Dog", "dog")])
def test_of_two_declared_spellings_the_most_frequent_is_meant(declared: tuple[str, str]) -> None:
    names = resolve(["dog"] * 3 + ["Dog"], declared=declared)
    assert names.meaning == {"dog": "dog", "Dog": "dog"}
    assert names.classes == ("dog",)
    assert "is 'dog' spelled differently" in names.findings[0].message


def test_a_declared_spelling_that_nobody_wrote_stays_to_be_missed() -> None:
    assert resolve(["dog"] * 3, declared=("dog", "Dog")).classes == ("dog", "Dog")


@pytest.mark.parametrize("misspelt", ["persn", "persson", "persom", "preson", "Persons"])
def test_a_rare_name_one_letter_off_is_reported_but_not_merged(misspelt: str) -> None:
    names = resolve(["person"] * 5 + [misspelt])
    assert names.meaning[misspelt] == misspelt
    (finding,) = names.findings
    assert finding.kind == "similar-class-names"
    assert finding.object == 6
    assert f"'{misspelt}' (1 object against 5" in finding.message


@pytest.mark.parametrize(
    ("one", "other"),
    [("car", "cat"), ("class1", "class2"), ("lane1", "lane12"), ("horse", "house2"), ("sheep", "sheets")],
)
def test_names_that_differ_on_purpose_are_left_alone(one: str, other: str) -> None:
    assert resolve([one] * 20 + [other]).findings == []


def test_two_frequent_names_are_two_classes() -> None:
    assert resolve(["mouse"] * 20 + ["house"] * 10).findings == []


def test_declared_classes_decide() -> None:
    names = resolve(["Person", "persn", "zebra"], declared=["person", "dog"])
    assert names.meaning == {"Person": "person", "persn": "person", "zebra": None}
    assert [(item.kind, item.object) for item in names.findings] == [
        ("similar-class-names", 1),
        ("unknown-class", 2),
        ("unknown-class", 3),
    ]
    assert "did you mean 'person'?" in names.findings[1].message
    assert "The classes are: person, dog" in names.findings[2].message


def test_a_class_of_val_alone_is_one() -> None:
    names = resolve(["dog"], val=["dog", "Dog", "cow"])
    assert names.classes == ("cow", "dog")
    assert [(item.kind, item.file, item.object) for item in names.findings] == [
        ("similar-class-names", "val.xml", 2)
    ]


def test_left_out_classes_are_reported_only_where_they_look_misspelt() -> None:
    names = resolve(["person", "persn", "zebra"], declared=["person"], skip=True)
    assert names.meaning == {"person": "person", "persn": None, "zebra": None}
    (finding,) = names.findings
    assert finding.kind == "similar-class-names"
    assert finding.object == 2


def test_what_training_says_of_class_names_is_said_here_too() -> None:
    misspelt = resolve(["person", "zebra"], declared=["persn"], skip=True).findings
    assert [item.kind for item in misspelt if item.severity == "error"] == ["misspelt-class"]
    assert [item.kind for item in resolve(["a${b}"]).findings] == ["bad-class-name"]


def test_letters_that_are_put_together_otherwise_make_no_other_class() -> None:
    """Nobody sees it: a Mac writes an umlaut as two characters."""
    one, two = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    names = resolve([one] * 3 + [two] * 2)
    assert names.classes == (one,)
    (finding,) = names.findings
    assert "put together otherwise (Unicode): a training takes both for one class" in finding.message
    objects = tuple(ObjectRecord(name, (0, 0, 9, 9), False, 1) for name in (one, two, one))
    records = [ImageRecord("a", "a.jpg", (20, 20), objects, "a.xml")]
    assert found_classes(records) == [one]
    assert [item.name for item in select_classes(records, [one]).records[0].objects] == [one] * 3


@pytest.mark.parametrize(("rare", "common"), [("dogs", "dog"), ("catt", "cat")])
def test_a_letter_more_is_reported_of_short_names_too(rare: str, common: str) -> None:
    (finding,) = resolve([common] * 5 + [rare]).findings
    assert f"is one letter off {common!r}" in finding.message
