"""Paths on the command line: any name that a file may have, without Hydra's quotes."""

import re
import sys
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

_PATHS = {
    "ckpt",
    "init_from",
    "source",
    "images",
    "root",
    "out",
    "output",
    "data.root",
    "data.archive_folder",
    "model.backbone.weights",
    "hydra.run.dir",
    "hydra.sweep.dir",
}


def quote_paths() -> None:
    """Quote the paths in ``sys.argv`` that Hydra would not take as they are, and expand their ``~``.

    Hydra's grammar has no letters beyond a-z in a bare value, nor ``( ) = , ' ~``, all of which occur in
    paths: ``source=photos/Zürich (1).jpg`` and ``data.root=~/datasets`` would be refused. What is quoted
    already stays as it is, and so do the lists of a sweep.
    """
    sweep = bool({"-m", "--multirun"} & set(sys.argv))
    sys.argv[1:] = [_quoted(word, sweep) for word in sys.argv[1:]]


def _quoted(word: str, sweep: bool) -> str:
    key, equals, value = word.partition("=")
    is_quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
    if key not in _PATHS or value in ("", "null") or is_quoted:
        return word
    if value.startswith("~"):
        value = str(Path(value).expanduser())
    if _is_read_as(value, f"{key}={value}", sweep):
        return f"{key}={value}"
    # Backslashes count double before a quote and at the end, and are plain elsewhere.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", r"\'"), value)
    return f"{key}{equals}'{escaped}'"


def _is_read_as(value: str, word: str, sweep: bool) -> bool:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    if override.is_sweep_override():
        return sweep
    return bool(override.value() == value)
