"""What a prediction says at its end."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from detection.prediction.writing import Skipped
from detection.types import Detections

_MAX_SKIPPED = 10  # named on the terminal; all of them are in detections.json


def print_report(
    what: str,
    detections: Iterable[Detections],
    class_names: Sequence[str],
    skipped: Sequence[Skipped],
    output: Path,
) -> None:
    """Print the detections of each class, what was skipped, and where the files are.

    Args:
        what: what was looked at and how long it took.
        detections: of each image or frame.
        class_names: names by label.
        skipped: images that could not be read.
        output: the folder that was written.
    """
    # Not cut or wrapped where the output is a file: lines there can be any length.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    counts = Counter(class_names[label] for found in detections for label in found["labels"].tolist())
    if counts:
        table = Table("class", show_edge=False)
        table.add_column("detections", justify="right")
        for name, count in counts.most_common():
            table.add_row(name, str(count))
        console.print(table)
    console.print(f"{what}: {counts.total()} detections. Written to {output}")
    if skipped:
        console.print(f"{len(skipped)} could not be read and were skipped:")
        for name, reason in skipped[:_MAX_SKIPPED]:
            console.print(f"  {name}: {reason}")
        if len(skipped) > _MAX_SKIPPED:
            console.print(f"  ... and {len(skipped) - _MAX_SKIPPED} more")
