"""The confusion matrix as a person can read it: of very many classes those that are confused most."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.metrics.tables import IntArray

MAX_CLASSES = 80
"""Of more classes, so many are shown with a row and a column of their own."""


class Confused(NamedTuple):
    """A confusion matrix with its names; the last row and column are background and missed."""

    counts: IntArray
    rows: list[str]
    columns: list[str]


def most_confused(counts: IntArray, names: Sequence[str]) -> Confused:
    """Gather all but the most confused classes in one row and one column.

    Args:
        counts: ``(C + 1, C + 1)``, see ``confusion_matrix``.
        names: by label.

    Returns:
        The matrix, whole for up to ``MAX_CLASSES`` classes. Its sum is that of ``counts``.
    """
    kept = _kept(counts)
    others = len(names) - len(kept)
    if not others:
        return Confused(counts, [*names, "background"], [*names, "missed"])
    place = np.full(len(counts), len(kept))
    place[kept] = np.arange(len(kept))
    place[-1] = len(kept) + 1
    gathered = np.zeros((len(kept) + 2,) * 2, dtype=counts.dtype)
    np.add.at(gathered, (place[:, None], place[None, :]), counts)
    shown = [*(names[label] for label in kept), f"{others} others"]
    return Confused(gathered, [*shown, "background"], [*shown, "missed"])


def confusion_note(counts: IntArray) -> str:
    """What to say where not all classes have a row and a column.

    Args:
        counts: see ``most_confused``.
    """
    number, shown = len(counts) - 1, len(_kept(counts))
    if shown == number:
        return ""
    return (
        f" Of {number} classes {shown} are shown, those confused most; the others share a row and a column."
    )


def _kept(counts: IntArray) -> IntArray:
    """The labels of the classes to show, ascending."""
    if len(counts) - 1 <= MAX_CLASSES:
        return np.arange(len(counts) - 1)
    of_classes = counts[:-1, :-1]
    mistaken = of_classes.sum(axis=0) + of_classes.sum(axis=1) - 2 * of_classes.diagonal()
    counted = counts[:-1].sum(axis=1) + counts[:, :-1].sum(axis=0)
    # Among those that are confused equally often the ones that occur more often come first.
    most = np.lexsort((-counted, -mistaken))[:MAX_CLASSES]
    return np.sort(most[counted[most] > 0])
