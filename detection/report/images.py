"""Pictures of single images: what was found, what was not, and what was not there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detection.drawing.photos import BLUE, VERMILION, WHITE, YELLOW, Mark, draw_photo
from detection.metrics.operating_point import ImageCounts
from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import judge
from detection.types import Detections, Target

TRUE_POSITIVE, FALSE_POSITIVE, MISSED, TRUE_BOX = BLUE, VERMILION, YELLOW, WHITE
_DPI = 200


def worst_and_best(counts: ImageCounts, number: int) -> tuple[list[int], list[int]]:
    """Choose images to show: those with the lowest F1, and those with the highest.

    Among equals, more errors are worse and more true positives are better.

    Args:
        counts: true positives and errors of all images.
        number: at most so many of each.

    Returns:
        Image numbers, the worst first, and the best first. None is in both; the worst have errors and the
        best have true positives.
    """
    errors = counts.false_positives + counts.missed
    order = np.lexsort((-errors, counts.f1))
    worst = [int(image) for image in order if errors[image]][:number]
    order = np.lexsort((-counts.true_positives, -counts.f1))
    best = [int(image) for image in order if counts.true_positives[image] and image not in set(worst)][
        :number
    ]
    return worst, best


def draw_outcome(
    image: NDArray[np.uint8],
    detections: Detections,
    target: Target,
    class_names: Sequence[str],
    threshold: float,
) -> bytes:
    """Draw one image with its true and its predicted boxes, as a JPEG.

    True boxes are thin white lines, or dashed yellow where they were missed; detections are blue where they
    are true positives, vermilion where they are false ones, but white where their object is difficult.

    Args:
        image: ``(H, W, 3)`` RGB, in the pixels of the boxes.
        detections: its detections.
        target: its objects.
        class_names: by label.
        threshold: lowest score to draw.
    """
    found, existing = make_tables([detections], [target])
    found = found.take(found.scores >= threshold)
    verdicts = judge(found, existing)
    hit_objects = set(verdicts.gt[verdicts.true_positive].tolist())
    marks = []
    for row, (box, label) in enumerate(zip(existing.boxes, existing.labels, strict=True)):
        missed = row not in hit_objects and not existing.difficult[row]
        text, colour = (class_names[label], MISSED) if missed else ("", TRUE_BOX)
        marks.append(Mark(box, text, colour, dashed=missed))
    for row, (box, label) in enumerate(zip(found.boxes, found.labels, strict=True)):
        colour = (
            TRUE_POSITIVE
            if verdicts.true_positive[row]
            else TRUE_BOX
            if verdicts.ignored[row]
            else FALSE_POSITIVE
        )
        marks.append(Mark(box, f"{class_names[label]} {found.scores[row]:.2f}", colour, width=1.6))
    return draw_photo(image, marks, _DPI)
