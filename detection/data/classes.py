"""Class names, found in the data or given; objects of other classes are refused or left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from detection.data.formats.findings import Finding
from detection.data.formats.records import ImageRecord, ObjectRecord, Reading
from detection.system.wording import counted, folded, some_of
from detection.validation.suggestions import nearest

OtherClasses = Literal["error", "skip"]
"""What becomes of objects whose class is not among the wanted ones."""


# Finds "dgo" for "dog", but not "star" for "square".
_CLOSE = 0.65
_JOINERS = str.maketrans("", "", "\u200c\u200d")


class Selection(NamedTuple):
    """The objects of the wanted classes."""

    records: list[ImageRecord]
    """All images; those without a wanted object stay, as background."""
    left_out: Counter[str]
    """Number of left out objects of each other class."""


def declared_classes(readings: Iterable[Reading]) -> list[str] | None:
    """Returns the class names that files declare, the first split first; None if none does.

    What one split declares twice stays twice: that is a mistake, which others tell.

    Args:
        readings: of all splits.
    """
    declared: list[str] = []
    for reading in readings:
        known = {folded(name) for name in declared}
        declared += [name for name in reading.classes or () if folded(name) not in known]
    return declared or None


def found_classes(records: Iterable[ImageRecord]) -> list[str]:
    """Returns the names that objects have, sorted.

    Spellings that differ by case, or in how letters are put together, are one class, under the name that is
    written most often.

    Raises:
        ValueError: there is no object.
    """
    counts = Counter(item.name for record in records for item in record.objects)
    if not counts:
        raise ValueError(
            "no image has an object, so there is nothing to learn and no class has a name: "
            "python -m detection.check shows what was read"
        )
    spellings = {folded(name): name for name, _ in reversed(counts.most_common())}
    return sorted(spellings.values())


def select_classes(
    records: Iterable[ImageRecord], classes: Sequence[str], other_classes: OtherClasses = "error"
) -> Selection:
    """Keeps the objects of some classes, under the names as ``classes`` writes them.

    Args:
        records: the images.
        classes: the wanted names.
        other_classes: ``error`` refuses an object of any other class, which protects from misspelt names;
            ``skip`` leaves it out.

    Raises:
        ValueError: a name cannot be one or the names are not distinct, or an object has another class.
    """
    wrong = wrong_names(classes)
    if wrong is not None:
        raise ValueError(wrong)
    wanted = {folded(name): name for name in classes}
    as_written = set(wanted.values())
    left_out: Counter[str] = Counter()
    selected = []
    for record in records:
        if as_written.issuperset(item.name for item in record.objects):
            selected.append(record)
            continue
        kept = []
        for item in record.objects:
            name = wanted.get(folded(item.name))
            if name is not None:
                kept.append(item if item.name == name else item._replace(name=name))
            elif other_classes == "error":
                raise ValueError(unknown_class(record, item, classes).sentence)
            else:
                left_out[item.name] += 1
        selected.append(record._replace(objects=tuple(kept)))
    return Selection(selected, left_out)


def wrong_names(classes: Sequence[str]) -> str | None:
    """Says why names cannot be those of classes, if so."""
    counts = Counter(folded(name.strip()) for name in classes)
    equal = [name for name in classes if counts[folded(name.strip())] > 1 or not name.strip()]
    if equal or not classes:
        return (
            "classes must be distinct names, regardless of case and of spaces around them, and at least one; "
            f"got {equal[:10]}"
        )
    # A configuration would read ${...} as a reference to a value of its own, or of the environment.
    bad = next((name for name in classes if not printable(name) or "${" in name), None)
    return None if bad is None else f"{bad!r} cannot be the name of a class: rename it in the annotations"


def printable(text: str) -> bool:
    """Whether a text has no control characters. Joiners are parts of words."""
    return text.translate(_JOINERS).isprintable()


def unknown_class(record: ImageRecord, item: ObjectRecord, classes: Sequence[str]) -> Finding:
    """The finding of an object that is of none of the classes."""
    near = nearest(item.name, classes)
    message = (
        f"{record.name_of(item.number)} has the unknown class "
        + (f"{item.name!r}, did you mean {near!r}?" if near else f"{item.name!r}.")
        + f" The classes are: {some_of(classes)}."
        + " Correct the annotation or set data.classes; data.other_classes=skip leaves such objects out"
    )
    # The box travels along: what is of no class is not kept among the objects.
    return Finding("unknown-class", record.source, message, record.image_id, item.number, item.box)


def misspelt_classes(classes: Sequence[str], used: Iterable[str], left_out: Iterable[str]) -> Iterator[str]:
    """Names the wanted classes that no object has while objects of nearly the same name were left out.

    Args:
        classes: the wanted names.
        used: the wanted names that objects have.
        left_out: the names of the objects that were left out.

    Yields:
        A sentence for each, with the name that was likely meant.
    """
    others = set(left_out)
    for name in sorted(set(classes) - set(used)):
        if near := nearest(name, others, _CLOSE):
            yield (
                f"data.classes: no object has the class {name!r}, did you mean {near!r}? Correct "
                f"the name in data.classes, or take it out if {near!r} is another class"
            )


def refuse_misspelt(classes: Sequence[str], used: Iterable[str], left_out: Iterable[str]) -> None:
    """Refuses what `misspelt_classes` names.

    Raises:
        ValueError: with the name that was likely meant.
    """
    sentence = next(misspelt_classes(classes, used, left_out), None)
    if sentence is not None:
        raise ValueError(sentence)


def say_left_out(left_out: Counter[str]) -> str:
    """Says in one line how many objects of which classes were left out."""
    shown = ", ".join(f"{name} {count}" for name, count in left_out.most_common(10))
    more = f" and {counted(len(left_out) - 10, 'more class')}" if len(left_out) > 10 else ""
    return f"{counted(left_out.total(), 'object')} of other classes left out: {shown}{more}"
