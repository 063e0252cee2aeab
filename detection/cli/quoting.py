"""Quotes around what Hydra's grammar has no characters for: paths, and words beyond a-z."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from detection.system.processes import in_quotes

_PATHS = {
    "ckpt",
    "init_from",
    "source",
    "images",
    "run_dir",
    "root",
    "out",
    "output",
    "data.root",
    "data.archive_folder",
    "model.backbone.weights",
    "hydra.run.dir",
    "hydra.sweep.dir",
}


# A word of a list, in quotes or bare, and the comma behind it.
_MEMBER = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*)\s*(?:(,)|$)""", re.S)


def quote_words() -> None:
    """Quote the values in ``sys.argv`` that Hydra would not take as they are, and expand the ``~`` of paths.

    Hydra's grammar has no letters beyond a-z in a bare value, nor ``( ) = , ' ~``, all of which occur in
    paths and names: ``source=photos/Zürich (1).jpg``, ``data.classes=[dog,Fußgänger]``,
    ``data.root=~/datasets`` would be refused. What is quoted already stays as it is, and so do the lists of
    a sweep. A path is one value, whatever it holds; of another key, Hydra's reading comes first.
    """
    sweep = bool({"-m", "--multirun"} & set(sys.argv))
    sys.argv[1:] = [_quoted(word, sweep) for word in sys.argv[1:]]


def as_value(value: Any) -> str:
    """A value as it is typed, which Hydra reads back as it is.

    Args:
        value: of YAML's types, or a path.
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}: {as_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_value, value))}]"
    text = str(value)
    override = None if not isinstance(value, str) else _read(text)
    is_plain = not isinstance(value, str) or (override is not None and override.value() == text)
    return text if is_plain else in_quotes(text)


def _quoted(word: str, sweep: bool) -> str:
    key, _, value = word.partition("=")
    is_quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
    if key.startswith("-") or value in ("", "null") or is_quoted:
        return word
    if key in _PATHS:
        value = _expanded(value) if value.startswith("~") else value
        return f"{key}={value}" if _is_path(value, sweep) else f"{key}={in_quotes(value)}"
    return word if _read(value) else f"{key}={_quoted_parts(value)}"


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # no user of that name: a file may be named so
        return str(Path.cwd() / path)


def _quoted_parts(value: str) -> str:
    """Quote each word of a list, or of several runs, that needs it."""
    if value.startswith("{") and value.endswith("}"):
        return in_quotes(value)  # Hydra quotes no key of a pair; in quotes it is read as pairs later
    is_list = value.startswith("[") and value.endswith("]")
    parts = _members(value[1:-1] if is_list else value)
    if re.fullmatch(r"\w+\(.*\)", value) or any(part.startswith(("[", "{")) for part in parts):
        return value  # a function of Hydra's, lists in lists, one that does not end: explained if refused
    quoted = ",".join(part if _read(part) else in_quotes(part) for part in parts)
    return f"[{quoted}]" if is_list else quoted


def _members(text: str) -> list[str]:
    """The words between the commas of a list; a comma in quotes is part of its word."""
    parts, end = [], 0
    while match := _MEMBER.match(text, end):
        parts.append(match[1].strip())
        end = match.end()
        if match[2] is None:
            break
    return parts


def _is_path(value: str, sweep: bool) -> bool:
    override = _read(value)
    if override is not None and override.is_sweep_override():
        return sweep
    return override is not None and bool(override.value() == value)


def _read(value: str) -> Override | None:
    """What Hydra makes of a value; None where it refuses it."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None
