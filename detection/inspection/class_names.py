"""Class names: which are unknown, and which are probably one class in two spellings."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from detection.data.classes import misspelt_classes, unknown_class, wrong_names
from detection.data.formats.findings import Finding
from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.inspection.duplicates import TRAIN
from detection.system.wording import counted, folded

MIN_LENGTH = 4  # shorter names are often one letter apart: car, cat
_LEAST = 3  # of a name with a letter more elsewhere: dog, dogs
RARE = 5  # a misspelling is at least so many times rarer than the name that was meant
_IF_ONE = "give both one name if they are one class"


class ClassNames(NamedTuple):
    """The classes of a dataset, and what each written name means."""

    classes: tuple[str, ...]
    """In label order, each once: of spellings that occur, of one class, the most frequent."""
    meaning: dict[str, str | None]
    """The class of each name that occurs; None for an unknown one that resembles no class."""
    findings: list[Finding]


class _Use(NamedTuple):
    split: str
    record: ImageRecord
    item: ObjectRecord
    name: str


def resolve_class_names(
    records: Mapping[str, Sequence[ImageRecord]], declared: Sequence[str] | None, skip_others: bool = False
) -> ClassNames:
    """Says which class each written name means.

    Args:
        records: by split.
        declared: the classes; None to take the names found in all splits, where spellings that differ by
            case, spaces, hyphens or underscores are one class.
        skip_others: objects of other classes are left out on purpose; only near misses are reported.
    """
    uses = [
        _Use(split, record, item, item.name)
        for split, images in records.items()
        for record in images
        for item in record.objects
    ]
    counts = Counter(use.name for use in uses)
    first = {use.name: use for use in reversed(uses)}
    classes = tuple(name.strip() for name in declared) if declared is not None else _found_classes(uses)
    # Of two classes that are spellings of one, the more frequent one is meant.
    by_frequency = sorted(classes, key=lambda name: counts[name])
    meaning: dict[str, str | None] = {name: _nearest(name, by_frequency) for name in counts}
    # As in training, where case alone does not make another class.
    known = {folded(name) for name in classes}
    if declared is None:
        known |= {folded(use.name) for use in uses}
    findings = []
    for name, meant in meaning.items():
        if meant is not None and meant != name and folded(name) in known:
            what, remedy = f"is {meant!r} spelled differently", _IF_ONE
            if name not in classes and folded(name) == folded(meant):
                capitals = name.casefold() == meant.casefold()
                how = "in other capitals" if capitals else "with its letters put together otherwise (Unicode)"
                what, remedy = f"is {meant!r} {how}", "a training takes both for one class"
            findings.append(_similar(first[name], counted(counts[name], "object"), what, remedy))
    others = [use for use in uses if folded(use.name) not in known]
    if skip_others:
        left_out = {use.name: meaning[use.name] for use in others}
        findings += [
            _similar(first[name], counted(counts[name], "object"), f"is left out, but is nearly {meant!r}")
            for name, meant in left_out.items()
            if meant is not None
        ]
        meaning |= dict.fromkeys(left_out)
        findings += _misspelt(classes, [use for use in uses if use.split == TRAIN], known)
    else:
        findings += [unknown_class(use.record, use.item, classes) for use in others]
    if declared is None:
        findings += _possible_misspellings(classes, Counter(meaning[use.name] for use in uses), first)
    wrong = wrong_names(classes) if classes else None
    if wrong is not None:
        findings.append(Finding("bad-class-name", "data.classes", wrong))
    once = dict.fromkeys(name for name in classes if meaning.get(name, name) == name)
    return ClassNames(tuple(once), meaning, findings)


def _misspelt(classes: Sequence[str], trained_on: Sequence[_Use], known: Collection[str]) -> list[Finding]:
    """What training says of classes without objects while others of nearly the same name are left out."""
    written = {folded(use.name) for use in trained_on}
    used = [name for name in classes if name.casefold() in written]
    left_out = [use.name for use in trained_on if folded(use.name) not in known]
    sentences = misspelt_classes(classes, used, left_out)
    return [
        Finding("misspelt-class", "data.classes", sentence.removeprefix("data.classes: "))
        for sentence in sentences
    ]


def _found_classes(uses: Sequence[_Use]) -> tuple[str, ...]:
    counts = Counter(use.name for use in uses)
    # The most frequent spelling of each class names it.
    spellings = {_squash(name): name for name, _ in reversed(counts.most_common())}
    return tuple(sorted(spellings.values()))


def _nearest(name: str, classes: Iterable[str]) -> str | None:
    """The class that a name means: itself, another spelling of it, or the only one that is a letter away.

    Of classes that are spellings of one, the last is taken.
    """
    by_key = {_squash(known): known for known in classes}
    if name in by_key.values():
        return name
    key = _squash(name)
    if key in by_key:
        return by_key[key]
    close = [known for other, known in by_key.items() if _one_letter_apart(key, other)]
    return close[0] if len(close) == 1 else None


def _possible_misspellings(
    classes: Sequence[str], counts: Counter[str | None], first: dict[str, _Use]
) -> list[Finding]:
    findings = []
    for pair in combinations(classes, 2):
        rare, common = sorted(pair, key=lambda name: counts[name])
        is_rare = counts[rare] * RARE <= counts[common]
        if is_rare and _one_letter_apart(_squash(rare), _squash(common), least_of_longer=_LEAST):
            who = f"{counted(counts[rare], 'object')} against {counts[common]}"
            findings.append(_similar(first[rare], who, f"is one letter off {common!r}"))
    return findings


def _similar(use: _Use, who: str, what: str, remedy: str = _IF_ONE) -> Finding:
    message = f"the class {use.name!r} ({who}, here is the first) {what}: {remedy}"
    return Finding("similar-class-names", use.record.source, message, use.record.image_id, use.item.number)


def _squash(name: str) -> str:
    return folded(re.sub(r"[\s_\-]+", "", name))


def _one_letter_apart(a: str, b: str, least_of_longer: int = MIN_LENGTH) -> bool:
    """Whether one letter was changed, added, left out or swapped with the next. Digits number classes."""
    short, long = sorted((a, b), key=len)
    least = MIN_LENGTH if len(short) == len(long) else least_of_longer
    if len(short) < least or len(long) - len(short) > 1 or a == b:
        return False
    start = next(
        (i for i, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short)
    )
    if long[start].isdigit():
        return False
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start : start + 2] == long[start : start + 2][::-1]
    return short[start + 1 :] == long[start + 1 :] or (swapped and short[start + 2 :] == long[start + 2 :])
