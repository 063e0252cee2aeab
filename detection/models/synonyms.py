"""Names of classes that mean the same: PASCAL VOC's words and COCO's for one thing."""

import re
from collections.abc import Iterable, Sequence

from detection.system.wording import folded

_SAME = (
    ("aeroplane", "airplane"),
    ("diningtable", "dining table"),
    ("motorbike", "motorcycle"),
    ("pottedplant", "potted plant"),
    ("sofa", "couch"),
    ("tvmonitor", "tv", "tv monitor", "television"),
)


def find_same(names: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Finds for each name the known one that means the same.

    One of the same name counts first, then one that differs in case or surrounding space, then one that
    differs in spaces, hyphens and underscores, or is the other's word for it: VOC's aeroplane is COCO's
    airplane.

    Args:
        names: to look up.
        known: what there is; of several that would do, the first counts.

    Returns:
        The known name of each name that has one.
    """
    exact = {name: name for name in known}
    by_case = {fold(name): name for name in reversed(known)}
    by_meaning = {_meaning(name): name for name in reversed(known)}
    found = {}
    for name in names:
        same = exact.get(name) or by_case.get(fold(name)) or by_meaning.get(_meaning(name))
        if same is not None:
            found[name] = same
    return found


def in_words_of(others: Sequence[str], names: Sequence[str]) -> list[str]:
    """Says names in the words that others use for the same classes.

    Args:
        others: distinct names. If two of them mean the same, the one that is nearer to a name is its word.
        names: distinct names.

    Returns:
        For each name the word for it, or the name itself.
    """
    meant = sorted(find_same(others, names).items(), key=lambda pair: fold(pair[0]) == fold(pair[1]))
    words = {name: word for word, name in meant}  # the nearest one last
    return [words.get(name, name) for name in names]


def fold(name: str) -> str:
    """The form in which names of classes are compared."""
    return folded(name.strip())


def _compact(name: str) -> str:
    return folded(re.sub(r"[\s_-]+", "", name))


_MEANINGS = {_compact(word): _compact(words[0]) for words in _SAME for word in words}


def _meaning(name: str) -> str:
    compact = _compact(name)
    return _MEANINGS.get(compact, compact)
