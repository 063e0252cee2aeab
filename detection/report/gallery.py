"""Pictures of single images: which ones are shown, what is drawn on them, and how they are filtered."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.drawing.page import Photo
from detection.metrics.analysis import Analysis
from detection.metrics.errors import ERROR_KINDS
from detection.metrics.operating_point import ImageCounts
from detection.report.curves import Confused

_NAMED = 3  # images of a cell of the confusion matrix that are named


class Shown(NamedTuple):
    """An image of the gallery."""

    photo: Photo
    errors: str
    """What the filters look for: ``kind:label`` of each error, ``found:label`` of each object found."""
    cells: str
    """``row:column`` of the confusion matrix, of each of its cells that the image is counted in."""
    words: str
    """Its errors, for the reader."""
    f1: float


class Cell(NamedTuple):
    """A cell of the confusion matrix as the page shows it."""

    key: str
    """``row:column``."""
    number: int
    share: float
    meaning: str
    images: str
    """Names of some images that it counts."""


class Matrix(NamedTuple):
    """The confusion matrix as the page shows it."""

    columns: list[str]
    rows: list[tuple[str, list[Cell | None]]]
    """With their names; None is an empty cell."""
    left_out: int
    """Classes with neither objects nor detections."""


def worst_and_best(counts: ImageCounts, number: int) -> tuple[list[int], list[int]]:
    """Choose images to show: those with the lowest F1, and those with the highest.

    Among equals, more errors are worse and more true positives are better.

    Args:
        counts: true positives and errors of all images.
        number: at most so many of each.

    Returns:
        Image numbers, the worst first, and the best first. No image is in both; the worst have errors and the
        best have true positives.
    """
    errors = counts.false_positives + counts.missed
    order = np.lexsort((-errors, counts.f1))
    worst = [int(image) for image in order if errors[image]][:number]
    order = np.lexsort((-counts.true_positives, -counts.f1))
    shown = set(worst)
    best = [int(image) for image in order if counts.true_positives[image] and image not in shown][:number]
    return worst, best


def choose_images(analysis: Analysis, number: int) -> list[int]:
    """Choose the images of the gallery: bounded, whatever the numbers of images and classes.

    Args:
        analysis: the evaluation.
        number: so many of the worst, of the best, and of those with the most errors of each kind; and up to
            twice as many for pairs of classes that were confused and are in none of these.

    Returns:
        Image numbers, the worst first.
    """
    worst, best = worst_and_best(analysis.images, number)
    chosen = dict.fromkeys([*worst, *best])
    for kind in range(len(ERROR_KINDS)):
        errors = Counter(analysis.errors.images[analysis.errors.kinds == kind].tolist())
        chosen |= dict.fromkeys(image for image, _ in errors.most_common(number))
    pairs, background = analysis.pairs, len(analysis.confusion) - 1
    confused = (pairs.true != pairs.detected) & (pairs.true < background) & (pairs.detected < background)
    images_of = defaultdict(list)
    for image, *pair in zip(*(column[confused].tolist() for column in pairs), strict=True):
        images_of[tuple(pair)].append(image)
    most = len(chosen) + 2 * number
    for images in sorted(images_of.values(), key=len, reverse=True):
        if len(chosen) < most and not chosen.keys() & set(images):
            chosen[images[0]] = None
    f1 = analysis.images.f1
    return sorted(chosen, key=lambda image: (f1[image], image))


def error_tokens(analysis: Analysis) -> dict[int, list[str]]:
    """The errors of each image and what was found in it, as ``kind:label``, each once.

    Args:
        analysis: the evaluation.
    """
    tokens = defaultdict(set)
    for image, kind, label in zip(*(column.tolist() for column in analysis.errors), strict=True):
        tokens[image].add(f"{ERROR_KINDS[kind]}:{label}")
    right = analysis.pairs.true == analysis.pairs.detected
    for image, label, _ in zip(*(column[right].tolist() for column in analysis.pairs), strict=True):
        tokens[image].add(f"found:{label}")
    return {image: sorted(found) for image, found in tokens.items()}


def error_words(analysis: Analysis, class_names: Sequence[str]) -> dict[int, str]:
    """The errors of each image in words: ``localisation: dog; missed: 2 person, cat``.

    Args:
        analysis: the evaluation.
        class_names: by label.
    """
    counts: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
    for image, kind, label in zip(*(column.tolist() for column in analysis.errors), strict=True):
        counts[image][kind, label] += 1
    words = {}
    for image, errors in counts.items():
        of_kinds: dict[str, list[str]] = defaultdict(list)
        for (kind, label), number in sorted(errors.items()):
            of_kinds[ERROR_KINDS[kind]].append(
                f"{number} {class_names[label]}" if number > 1 else class_names[label]
            )
        words[image] = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in of_kinds.items())
    return words


def cell_images(analysis: Analysis, confused: Confused) -> dict[str, list[int]]:
    """The images that each cell of the confusion matrix counts, each once, by ``row:column``.

    Args:
        analysis: the evaluation.
        confused: the matrix as it is shown.
    """
    rows, columns = confused.places[analysis.pairs.true], confused.places[analysis.pairs.detected]
    images: dict[str, dict[int, None]] = defaultdict(dict)
    for image, row, column in zip(
        analysis.pairs.images.tolist(), rows.tolist(), columns.tolist(), strict=True
    ):
        images[f"{row}:{column}"][image] = None
    return {key: list(found) for key, found in images.items()}


def make_matrix(confused: Confused, images: dict[str, list[int]], image_ids: list[str]) -> Matrix:
    """Prepare the confusion matrix for the page.

    Args:
        confused: the matrix.
        images: of each cell, by ``row:column``.
        image_ids: names of all images.
    """
    counts, shares = confused.counts, confused.shares()
    used = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    used[-1] = True
    kept = np.flatnonzero(used).tolist()

    def cell(row: int, column: int) -> Cell | None:
        if not counts[row, column]:
            return None
        name, detected = confused.rows[row], confused.columns[column]
        meaning = f"{name} that was missed" if detected == "missed" else f"{name} detected as {detected}"
        named = [image_ids[image] for image in images[f"{row}:{column}"]]
        more = [f"{len(named) - _NAMED} more"] * (len(named) > _NAMED)
        share, some = round(float(shares[row, column]), 3), ", ".join([*named[:_NAMED], *more])
        return Cell(f"{row}:{column}", int(counts[row, column]), share, meaning, some)

    rows = [(confused.rows[row], [cell(row, column) for column in kept]) for row in kept]
    return Matrix([confused.columns[column] for column in kept], rows, len(used) - len(kept))
