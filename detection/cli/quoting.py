"""Paths on the command line: they need no quotes of Hydra's, and ``run_dir=`` names the run's folder."""

import re
import sys
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from detection.cli.words import apart

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


def take_run_dir() -> None:
    """Take ``run_dir=FOLDER`` for ``hydra.run.dir=FOLDER``, from which it comes.

    Raises:
        SystemExit: it names no folder, or another one than hydra.run.dir does, or there are several runs.
    """
    words = sys.argv[1:]
    folders = [word.partition("=")[2] for word in words if word.lstrip("+").startswith("run_dir=")]
    if not folders:
        return
    if {"-m", "--multirun"} & set(words):
        raise SystemExit("run_dir= names the folder of one run; those of a sweep lie in hydra.sweep.dir=...")
    others = {word.partition("=")[2] for word in words if word.startswith("hydra.run.dir=")}
    if others - set(folders) or len(set(folders)) > 1:
        raise SystemExit("run_dir= and hydra.run.dir= name the same folder: give one of them, once.")
    if folders[0] in ("", "null", "???"):
        raise SystemExit(f"run_dir={folders[0]}: name a folder, or leave it out for a new one.")
    kept = [word for word in words if not word.lstrip("+").startswith(("run_dir=", "hydra.run.dir="))]
    settings, flags = apart(kept)
    sys.argv[1:] = [*settings, f"hydra.run.dir={folders[0]}", *flags]


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
