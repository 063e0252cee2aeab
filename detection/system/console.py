"""What users name is letters, not markup: ``[/]`` and ``:car:`` on a terminal, ``$`` in a figure."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.system.processes import is_first

_LONGEST = 40  # letters of a name in a figure


def plain_console() -> Console:
    """A console that prints strings, those in tables too, as they are."""
    return Console(markup=False, emoji=False, highlight=False)


def tell(what: str | Table) -> None:
    """Print what lasts, and keep it in the log of the run (``train.log``), where there is one.

    Args:
        what: a line, a few, or a table.
    """
    if isinstance(what, Table):
        console = plain_console()
        console.print(what)
        with console.capture() as captured:
            console.print(what, no_wrap=True)
        kept = "\n".join(line.rstrip() for line in Text.from_ansi(captured.get()).plain.splitlines())
    else:
        print(what, flush=True)  # above a live bar, which logging does not know of
        kept = what
    keep(kept)


def keep(text: str) -> None:
    """Keep a text in the log of the run (``train.log``), where there is one, without printing it.

    Args:
        text: a line, or a few.
    """
    record = logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO"})
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


@contextmanager
def told_if_slow(what: str, seconds: float = 1.0) -> Iterator[None]:
    """Tell on a terminal what is going on where it takes long; elsewhere nobody waits for it.

    Args:
        what: a line.
        seconds: after which it is told.
    """
    timer = Timer(seconds, lambda: print(what, flush=True))
    timer.daemon = True
    if sys.stdout.isatty() and is_first():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def drawn(name: str) -> str:
    """A name as matplotlib draws it letter by letter, on one line and of a length that figures have room for.

    Args:
        name: of a class or an image.
    """
    letters = "".join(letter if letter.isprintable() else " " for letter in name)
    if len(letters) > _LONGEST:
        letters = f"{letters[: _LONGEST - 1]}…"
    return letters.replace("$", r"\$")  # two of them would begin and end a formula
