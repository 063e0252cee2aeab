"""Numbers and names in a sentence, and names that look the same."""

import unicodedata
from collections.abc import Sequence

_LONGEST = 60  # letters of a name
_MOST = 20  # names in a sentence: VOC's classes


def counted(number: int, noun: str) -> str:
    """A number and its noun: ``1 image``, ``2,501 images``, ``3 classes``.

    Args:
        number: of them.
        noun: what one of them is called; more end in ``s``, after ``s``, ``x`` and ``tch`` in ``es``.
    """
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x", "tch")) else "s"
    return f"{number:,} {noun}{ending}"


def are(number: int) -> str:
    """What follows on so many: ``is`` or ``are``."""
    return "is" if number == 1 else "are"


def some_of(names: Sequence[str]) -> str:
    """Names in a sentence, with commas between; of very many the first, and how many more there are."""
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def in_a_list(name: str) -> str:
    """A name among others: in quotes where it has a comma itself, and cut where it is endless.

    Args:
        name: of a class.
    """
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return repr(short) if "," in short else short


def folded(name: str) -> str:
    """The form in which names are compared, of classes or of files: capitals make no other name.

    Nor does how letters are put together, since nobody sees it: a Mac writes an umlaut as two characters,
    others as one.
    """
    return unicodedata.normalize("NFC", name.casefold())
