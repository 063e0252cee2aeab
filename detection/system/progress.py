"""How far a long prediction is: a live bar on a terminal, plain lines in a log file."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Tracker:
    """Counts what is done and shows speed and the time left. A context manager.

    Args:
        unit: what is counted, in the plural, such as ``images``.
        total: how many there are; None if that is not known.
    """

    def __init__(self, unit: str, total: int | None) -> None:
        self.unit, self.total = unit, total
        self.done = 0
        self._started = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
            left = (TextColumn("left:"), TimeRemainingColumn()) if total else ()
            self._bar = Progress(*columns, *left)
            self._task = self._bar.add_task("", total=total, speed="")

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def advance(self, count: int) -> None:
        """Say that ``count`` more are done."""
        self.done += count
        speed = f"{self.done / max(self.seconds, 1e-6):.1f} {self.unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, advance=count, speed=speed)
        elif self.done != self.total and time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"{self.done}{self._of_total()} {self.unit}, {speed}{self._left()}", flush=True)

    def _of_total(self) -> str:
        return "" if self.total is None else f"/{self.total}"

    def _left(self) -> str:
        if self.total is None or not self.done:
            return ""
        left = round((self.total - self.done) * self.seconds / self.done)
        return f", about {left // 60}:{left % 60:02d} minutes left"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
