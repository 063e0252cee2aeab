"""What became of each box of one image: for pictures."""

from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import judge
from detection.types import Detections, Outcome, OutcomeKind, Target


def outcomes_of_image(detections: Detections, target: Target, threshold: float) -> list[Outcome]:
    """Judge the boxes of one image by VOC's rules at IoU 0.5.

    Args:
        detections: of the image.
        target: its objects, in the same pixels.
        threshold: detections with lower scores do not count.

    Returns:
        The objects, then the detections, the best last: the order in which they are painted.
    """
    found, existing = make_tables([detections], [target])
    found = found.take(found.scores >= threshold)
    verdicts = judge(found, existing)
    was_found = existing.difficult.copy()
    was_found[verdicts.gt[verdicts.true_positive]] = True
    outcomes = [
        Outcome(box, label, None, "found" if known else "missed")
        for box, label, known in zip(
            existing.boxes.tolist(), existing.labels.tolist(), was_found.tolist(), strict=True
        )
    ]
    for row in reversed(range(len(found.labels))):
        kind: OutcomeKind = "ignored" if verdicts.ignored[row] else "false_positive"
        kind = "true_positive" if verdicts.true_positive[row] else kind
        outcomes.append(
            Outcome(found.boxes[row].tolist(), int(found.labels[row]), float(found.scores[row]), kind)
        )
    return outcomes
