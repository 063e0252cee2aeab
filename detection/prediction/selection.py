"""Which of a detector's findings the user asked to see."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from detection.models.synonyms import find_same
from detection.system.wording import some_of
from detection.types import Detections
from detection.validation.suggestions import nearest


@dataclass(frozen=True)
class Selection:
    """Keeps detections by score and class.

    Args:
        threshold: lowest score to keep.
        labels: labels to keep; None keeps all.
    """

    threshold: float
    labels: frozenset[int] | None = None

    def __call__(self, found: Detections) -> Detections:
        """Return the detections to keep, in their order."""
        keep = found["scores"] >= self.threshold
        if self.labels is not None:
            wanted = [label in self.labels for label in found["labels"].tolist()]
            keep = keep & keep.new_tensor(wanted)
        return Detections(
            boxes=found["boxes"][keep], scores=found["scores"][keep], labels=found["labels"][keep]
        )


def find_labels(classes: Collection[str] | None, class_names: Sequence[str]) -> frozenset[int] | None:
    """Look up the labels of the classes that a user asks for, by any name that means the same.

    Args:
        classes: names; None asks for all.
        class_names: the detector's, in label order.

    Raises:
        ValueError: a name is not one of the detector's, or there is none.
    """
    if classes is None:
        return None
    if not classes:
        raise ValueError("classes is empty: name those to keep, or leave it out for all.")
    same = find_same(classes, class_names)
    for name in classes:
        if name not in same:
            near = nearest(name, class_names)
            hint = f" Did you mean {near}?" if near else ""
            raise ValueError(
                f"classes: this detector does not know {name!r}.{hint} It knows: {some_of(class_names)}."
            )
    return frozenset(class_names.index(name) for name in same.values())
