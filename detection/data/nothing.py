"""Splits in which there is nothing to learn, or nothing to find."""

from collections.abc import Mapping

from detection.data.dataset import DetectionDataset
from detection.system.wording import counted, some_of

_MEANING = {
    "val": "val/map is undefined: it chooses no best checkpoint (the last one is tested), ends no run early "
    "and compares no runs of a sweep",
    "test": "test/map is undefined",
}


def refuse_nothing_to_learn(train: DetectionDataset) -> None:
    """Refuse a training without a single object.

    Raises:
        ValueError: there is none; the message says what was left out.
    """
    if train.num_objects(difficult=True):
        return
    why = f" ({'; '.join(train.notes)})" if train.notes else ""
    raise ValueError(
        f"There is nothing to learn: of {counted(len(train), 'training image')} none has an object to "
        f"train on{why}. python -m detection.check shows what was read."
    )


def never_learned(datasets: Mapping[str, DetectionDataset]) -> list[str]:
    """Warn of classes that an evaluation looks for and no training image shows.

    Args:
        datasets: by split.

    Returns:
        A line for each split that has such classes.
    """
    learned = datasets["train"].used_classes()
    unknown = {split: sorted(datasets[split].used_classes() - learned) for split in datasets}
    if unknown.get("test") == unknown.get("val"):
        unknown.pop("test", None)
    return [
        f"Warning: {split} has objects of {some_of(names)}, which no training image shows: they cannot be "
        "learned. Add such images to train; or leave these classes out by data.classes=[...], of the others, "
        "and data.other_classes=skip."
        for split, names in unknown.items()
        if names
    ]


def nothing_to_find(datasets: Mapping[str, DetectionDataset]) -> list[str]:
    """Say which splits of an evaluation have no object that counts, and what that means.

    Args:
        datasets: by split.

    Returns:
        A line for each such split.
    """
    return [
        f"Warning: {split} holds nothing to find (no object that counts in "
        f"{counted(len(datasets[split]), 'image')}); {meaning}."
        for split, meaning in _MEANING.items()
        if split in datasets and not datasets[split].num_objects(difficult=False)
    ]
