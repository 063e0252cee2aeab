"""From a predictor of some classes to one of others: what they share keeps its weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from detection.models.synonyms import find_same
from detection.system.wording import some_of
from detection.validation.suggestions import nearest


def match_classes(
    old_names: Sequence[str], new_names: Sequence[str], reuse: Mapping[str, str] | None = None
) -> dict[int, int]:
    """Finds which of the new classes a network knows already.

    Args:
        old_names: of the classes that it predicts, in label order.
        new_names: of the classes to predict, in label order.
        reuse: ``{new name: old name}`` for classes to take from one of another name; all others are taken
            from the class whose name means the same, see ``find_same``.

    Returns:
        The old label of each new label that has one.

    Raises:
        ValueError: if ``reuse`` speaks of a class that there is not.
    """
    origins = dict(reuse or {})
    for names, known, side in ((origins, new_names, "new"), (origins.values(), old_names, "old")):
        for name in names:
            if name not in known:
                near = nearest(name, known)
                hint = f" Did you mean {near!r}?" if near else ""
                raise ValueError(
                    f"There is no {side} class {name!r} to start from or with (new: old).{hint} "
                    f"The {side} classes are {some_of(known)}."
                )
    same = find_same(new_names, old_names) | origins
    labels = {name: label for label, name in reversed(list(enumerate(old_names)))}
    return {label: labels[same[name]] for label, name in enumerate(new_names) if name in same}


def check_names(old_names: Sequence[str], new_names: Sequence[str], num_classes: int) -> None:
    """Refuses names that cannot be those of a network's classes.

    Args:
        old_names: of the classes that the network predicts.
        new_names: of the classes that it shall predict.
        num_classes: how many it predicts.

    Raises:
        ValueError: if there are not as many old names, or the new ones are none or not distinct.
    """
    if isinstance(old_names, str) or isinstance(new_names, str):
        raise ValueError("Give lists of class names, such as ['cat', 'dog'].")
    if len(old_names) != num_classes:
        raise ValueError(f"The network predicts {num_classes} classes; got {len(old_names)} old names.")
    if not new_names or len(set(new_names)) != len(new_names):
        raise ValueError(f"The new classes must be distinct, and at least one; got {list(new_names)}.")


@torch.no_grad()
def copy_class_rows(
    old: nn.Conv2d | nn.Linear,
    new: nn.Conv2d | nn.Linear,
    rows: Mapping[int, int],
    groups: int,
    old_rows: int,
) -> None:
    """Copies the weights and biases of some classes from one predictor into another.

    Args:
        old: predicts ``groups * old_rows`` times as many numbers as belong to one class of one group: for
            SSD's classes a group is an anchor of a cell, for boxes four numbers belong to a class.
        new: likewise for the new classes.
        rows: the old row of each new row that is copied.
        groups: how often the classes are repeated.
        old_rows: classes of ``old``, background included where it has a row.
    """
    into, out_of = list(rows), list(rows.values())
    for name, source in old.named_parameters():
        target = new.get_parameter(name)
        numbers = source.shape[0] // (groups * old_rows)
        target_rows = target.unflatten(0, (groups, -1, numbers))  # a view: target itself is written
        target_rows[:, into] = source.unflatten(0, (groups, old_rows, numbers))[:, out_of]


@torch.no_grad()
def copy_class_predictor(
    old: nn.Conv2d | nn.Linear, new: nn.Conv2d | nn.Linear, kept: Mapping[int, int], groups: int
) -> None:
    """Copies background and the kept classes; a new one begins as the mean of the known ones.

    Else it would be everywhere at first: where the background's row is zero, as in what TensorFlow trained,
    every anchor would show a new class with a probability of a half. The mean of the biases alone leaves it
    likely in the deeper heads, where weights hold the known classes down. To the mean weights come those that
    the new predictor began with, by which several new classes differ.

    Args:
        old: predicts background and the known classes, ``groups`` times.
        new: likewise for the new classes.
        kept: the old label of each new label that has one.
        groups: how often the classes are repeated.
    """
    assert old.bias is not None
    assert new.bias is not None
    old_biases = old.bias.unflatten(0, (groups, -1))
    new.bias.unflatten(0, (groups, -1))[:, 1:] = old_biases[:, 1:].mean(dim=1, keepdim=True)
    old_weights = old.weight.unflatten(0, (groups, -1))
    new.weight.unflatten(0, (groups, -1))[:, 1:] += old_weights[:, 1:].mean(dim=1, keepdim=True)
    rows = {0: 0} | {new_label + 1: old_label + 1 for new_label, old_label in kept.items()}
    copy_class_rows(old, new, rows, groups, old_biases.shape[1])
