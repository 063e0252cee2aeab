"""An SSD's anchors in the description of its checkpoint: it keeps those that it was trained with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.models.ssd import SSD

_BUILDER = "detection.models.ssd.build_ssd"
_ARGUMENTS = ("anchor_sizes", "anchor_ratios", "anchor_steps", "max_anchor_side", "anchors_for")
"""Of the builder, all that decides the anchors."""


def anchor_arguments(model: Mapping[str, Any]) -> dict[str, Any]:
    """What a model's description says of its anchors; nothing where it is no published SSD.

    Args:
        model: its description.
    """
    network = model.get("network", {})
    if network.get("_target_") != _BUILDER:
        return {}
    return {name: network[name] for name in _ARGUMENTS if network.get(name) is not None}


def with_anchor_arguments(model: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a published SSD with these anchors in place of its own; any other as it is.

    Args:
        model: its description.
        arguments: as ``anchor_arguments`` gives them.
    """
    network = model.get("network", {})
    if network.get("_target_") != _BUILDER:
        return dict(model)
    others = {name: value for name, value in network.items() if name not in _ARGUMENTS}
    return {**model, "network": {**others, **arguments}}


def anchors_in_numbers(network: "SSD") -> dict[str, Any]:
    """The arguments that build a network's anchors again, however those of a size may change.

    Args:
        network: of any size.
    """
    steps = [list(step) if isinstance(step, tuple) else step for step in network.anchor_steps]
    numbers: dict[str, Any] = {
        "anchor_sizes": list(network.anchor_sizes),
        "anchor_ratios": [list(of_map) for of_map in network.anchor_ratios],
        "anchor_steps": steps,
    }
    if network.max_anchor_side < float("inf"):
        numbers["max_anchor_side"] = network.max_anchor_side
    return numbers


def with_anchors_of_format_1(model: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a checkpoint of 0.1, whose anchors did not grow with the input.

    Args:
        model: as 0.1 described it.
    """
    size = model.get("network", {}).get("size")
    return with_anchor_arguments(model, {**anchor_arguments(model), "anchors_for": size})
