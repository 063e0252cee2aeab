"""Paths on the command line: any name that a file may have, without Hydra's quotes."""

import re
import sys
from collections.abc import Collection
from pathlib import Path


def quote_paths(keys: Collection[str]) -> None:
    """Quote the values of some keys in ``sys.argv``, and expand their ``~``.

    Hydra's grammar has no letters beyond a-z in a bare value, nor ``( ) = , ' ~``, all of which occur in
    paths: ``source=photos/Zürich (1).jpg`` would be refused. Values that are quoted already stay as they are.

    Args:
        keys: whose values are paths.
    """
    sys.argv[1:] = [_quoted(word, keys) for word in sys.argv[1:]]


def _quoted(word: str, keys: Collection[str]) -> str:
    key, equals, value = word.partition("=")
    is_quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
    if key not in keys or not value or is_quoted:
        return word
    if value.startswith("~"):
        value = str(Path(value).expanduser())
    # Backslashes count double before a quote and at the end, and are plain elsewhere.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", r"\'"), value)
    return f"{key}{equals}'{escaped}'"
