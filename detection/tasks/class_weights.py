"""How much each class weighs in the losses of classification."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from detection.bounds import Factor
from detection.system.wording import folded, some_of
from detection.validation.suggestions import did_you_mean

ClassWeights = Mapping[str, Factor]
"""Factors by the name of a class; classes that are not named, and background, have 1."""


def by_label(weights: ClassWeights | None, class_names: Sequence[str]) -> Tensor | None:
    """Put weights in the order of the labels, background first.

    Args:
        weights: by name, regardless of case; None or none at all leaves the losses as they are.
        class_names: in label order.

    Returns:
        Float32 ``(C + 1,)``, or None.

    Raises:
        ValueError: a name is none of the classes.
    """
    if not weights:
        return None
    labels = {folded(name): label for label, name in enumerate(class_names, start=1)}
    ordered = torch.ones(len(class_names) + 1)
    for name, weight in weights.items():
        if folded(name) not in labels:
            near = did_you_mean(name, class_names) or f"; they are {some_of(class_names)}"
            raise ValueError(f"model.class_weights: '{name}' is none of the classes{near}")
        ordered[labels[folded(name)]] = weight
    return ordered
