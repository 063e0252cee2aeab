"""Numbers and names in a sentence, and names that look the same."""

import re
import unicodedata
from collections.abc import Sequence

_LONGEST = 60  # letters of a name
_MOST = 20  # names in a sentence: VOC's classes
# What a terminal would obey instead of showing it, what turns the letters behind it around, and the bytes of
# file names that are in no encoding.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# Of these what no line of a file can hold: names may be turned around.
_IN_NO_LIST = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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


def escaped(text: str, but: str = "") -> str:
    r"""A text to show, in which what is no letter but an order is written as it is in Python: ``\x1b``.

    Args:
        text: with names of files, which may hold anything.
        but: what stays, such as the ends of lines of several.
    """
    return _OBEYED.sub(lambda found: found[0] if found[0] in but else _as_in_python(found[0]), text)


def _as_in_python(letter: str) -> str:
    code = ord(letter)
    # How Python keeps a byte of a file's name that it cannot read.
    return f"\\x{code & 0xFF:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(letter)[1:-1]


def wrong_file_name(name: str) -> str | None:
    """Why a file's name cannot stand in a list of files, and what to do; None where it can.

    Args:
        name: with or without its folder.
    """
    if (found := _IN_NO_LIST.search(name)) is None:  # one search: sets have a hundred thousand names
        return None
    if "\ud800" <= found[0] <= "\udfff":
        return "has a name that is not in UTF-8: rename it"
    return "has control characters in its name: rename it"


def folded(name: str) -> str:
    """The form in which names are compared, of classes or of files: capitals make no other name.

    Nor does how letters are put together, since nobody sees it: a Mac writes an umlaut as two characters,
    others as one.
    """
    return unicodedata.normalize("NFC", name.casefold())
