"""What ``--help`` tells: the groups of ``conf/``, and a command's keys by its class in ``settings``."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from detection import settings
from detection.cli.other_tools import groups, options
from detection.settings import Settings, key_of

_INDENT, _WIDTH = 2, 79  # of a terminal
_TOGETHER = "\xa0"  # a blank at which no line ends


def keys_of(command: str) -> str:
    """The keys of a command, with their meanings and defaults, for ``--help``.

    Args:
        command: the name of its class in ``settings``, such as ``Predict``.
    """
    kind: type[Settings] = getattr(settings, command)
    meanings = dict(_meanings(kind))
    of_train = kind is not settings.Train and issubclass(kind, settings.Train)  # explained there
    own = [field for field in fields(kind) if not of_train or field.name in dict(_own(kind))]
    own.sort(key=lambda field: field.name == "run_dir")  # what is written, last
    room = max(len(field.name) for field in own) + 2
    lines = []
    for field in own:
        told = meanings[field.name] + _default(field.default)
        first, *others = textwrap.wrap(told, _WIDTH - _INDENT - room, break_long_words=False)
        lines += [f"{key_of(field.name):{room}}{first}", *(" " * room + line for line in others)]
    return ("\n" + " " * _INDENT).join(lines).replace(_TOGETHER, " ")


def choices() -> str:
    """The groups of ``conf/`` and what each has to choose from, for ``--help``."""
    told = [f"{group}: {', '.join(options(group))}" for group in groups() if options(group)]
    lines = [textwrap.wrap(each, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for each in told]
    return "\n".join(line for wrapped in lines for line in wrapped) + "\n"


def _meanings(kind: type[Settings]) -> Iterator[tuple[str, str]]:
    for base in reversed(kind.__mro__):
        yield from _own(base)


def _own(kind: type) -> Iterator[tuple[str, str]]:
    """The arguments that the docstring of a class explains."""
    _, _, arguments = inspect.cleandoc(kind.__doc__ or "").partition("Args:\n")
    for entry in re.split(r"\n(?=    \w)", arguments.rstrip()):
        name, _, told = entry.strip().partition(": ")
        if told:
            yield name, re.sub(r"\s+", " ", told)


def _default(value: Any) -> str:
    if value is MISSING or value is None or value == ():
        return ""
    if isinstance(value, bool):
        return ""  # the meaning tells what true does
    shown = f"[{','.join(value)}]" if isinstance(value, tuple) else value
    return f" [default:{_TOGETHER}{shown}]"
