"""The table of results, for a terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence

from benchmarks.harness import Result

HEADER = ("row", "work", "ours", "peer", "ratio", "quartiles", "target", "met")


def cells(result: Result) -> tuple[str, ...]:
    """One row of the table."""
    return (
        result.row,
        result.work,
        f"{_number(result.ours)} {result.unit}",
        "" if result.peer is None else f"{_number(result.peer)} {result.unit}",
        "" if result.ratio is None else f"{result.ratio:.3f}",
        "" if result.spread is None else "{:.3f}..{:.3f}".format(*result.spread),
        result.target,
        "yes" if result.met else "NO",
    )


def as_text(results: Sequence[Result]) -> str:
    """Columns for a terminal, and how many targets are met."""
    rows = [HEADER, *map(cells, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in (*lines, "", summary(results)))


def as_markdown(results: Sequence[Result]) -> str:
    """A Markdown table, and how many targets are met."""
    rows = [HEADER, ("---",) * len(HEADER), *map(cells, results)]
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", summary(results), ""])


def as_json(results: Sequence[Result]) -> str:
    """A list of objects with the fields of `Result`."""
    return json.dumps([result._asdict() for result in results], indent=2) + "\n"


def summary(results: Sequence[Result]) -> str:
    """How many targets are met."""
    return f"{sum(result.met for result in results)} of {len(results)} targets met"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
