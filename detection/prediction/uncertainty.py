"""Which images are most worth labelling next: those in which a detector expects the most mistakes of its own.

A detection of score s, believed where s is at least a half, is wrong with a probability of min(s, 1 - s) if
scores are probabilities. The sum over an image is the number of mistakes to expect in it: it is large where
much is doubtful, and nothing where all is sure. Scores below 0.1 are left out: there are hundreds of them in
each image, and they are no doubt but noise.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detection.data.image_files import decode_image
from detection.drawing.colours import class_colour
from detection.drawing.painter import Mark
from detection.drawing.photos import draw_photo
from detection.prediction.selection import Selection
from detection.prediction.writing import Result
from detection.system.wording import counted
from detection.types import Detections

if TYPE_CHECKING:
    from detection.drawing.page import Photo

LOWEST = 0.1
"""The lowest score that is a doubt."""
_WIDTH = 560  # pixels of an image on the page
_NAMED = 8  # boxes of an image: more labels would hide it


def expected_mistakes(found: Detections, labels: frozenset[int] | None = None) -> float:
    """The number of mistakes that a detector expects in an image.

    Args:
        found: everything, doubtful detections too.
        labels: of the classes that count; None for all.
    """
    scores = Selection(LOWEST, labels)(found)["scores"].double()
    return float(scores.minimum(1 - scores).sum())


def write_uncertain(
    output: Path,
    results: Sequence[Result],
    number: int,
    detector: Callable[[Sequence[NDArray[np.uint8]]], list[Detections]],
    labels: frozenset[int] | None,
    names: Sequence[str],
) -> None:
    """Write ``uncertain.csv``, the most uncertain image first, and ``uncertain.html``, which shows them.

    Args:
        output: the folder.
        results: of all images.
        number: how many to list.
        detector: looks at those images again, for the doubtful boxes that are shown.
        labels: of the classes that count; None for all.
        names: class names by label.
    """
    from detection.drawing.page import render_template

    chosen = sorted(results, key=lambda result: (-result.expected_mistakes, result.file.name))[:number]
    output.mkdir(parents=True, exist_ok=True)
    with (output / "uncertain.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "expected_mistakes"))
        table.writerows((result.file.name, f"{result.expected_mistakes:.4f}") for result in chosen)
    select = Selection(LOWEST, labels)
    photos = [_photo(result, detector, select, names) for result in chosen]
    page = render_template(
        Path(__file__).parent / "uncertain.html.jinja",
        {},
        photos=photos,
        images=len(results),
        lowest=LOWEST,
        named=_NAMED,
    )
    (output / "uncertain.html").write_text(page, encoding="utf-8")
    print(
        f"Most worth labelling next: {len(chosen)} of {counted(len(results), 'image')}, "
        f"in {output / 'uncertain.csv'}; "
        f"look through them in {output / 'uncertain.html'}"
    )


def _photo(
    result: Result,
    detector: Callable[[Sequence[NDArray[np.uint8]]], list[Detections]],
    select: Selection,
    names: Sequence[str],
) -> "Photo":
    from detection.drawing.page import Photo

    image = decode_image(result.file.path, upright=True)
    found = select(detector([image])[0])
    boxes, scores, labels = (found[key].tolist() for key in ("boxes", "scores", "labels"))
    named = sorted(range(len(scores)), key=lambda number: abs(scores[number] - 0.5))[:_NAMED]
    marks = [
        Mark(
            box,
            f"{names[label]} {score:.2f}" if number in named else "",
            class_colour(label),
            dashed=score < 0.5,
        )
        for number, (box, score, label) in enumerate(zip(boxes, scores, labels, strict=True))
    ]
    doubtful = sum(score < 0.5 for score in scores)
    name, counts = result.file.name, f"{len(scores) - doubtful} found, {doubtful} in doubt"
    note = f"{result.expected_mistakes:.1f} mistakes expected; {counts}"
    return Photo(draw_photo(image, marks[::-1], _WIDTH), name, note, f"{name} with what was found in it")
