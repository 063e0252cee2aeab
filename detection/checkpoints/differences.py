"""What differs between the configuration in a checkpoint and another, in the words that a user types."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detection.checkpoints.runs import is_of_model, words_of_model
from detection.registry import RENAMED
from detection.system.processes import as_typed, in_quotes

# What decides the shape of the weights; everything else may change when a run is resumed.
_NETWORK = ("_target_", "network", "backbone", "class_names")
_READ_OTHERWISE = ("true", "false", "null", "nan", "inf")
_NOTHING = "(none)"  # in place of a key that is not there


class Change(NamedTuple):
    """A value that differs, as a user types it: ``optimizer.lr: 0.1 -> 0.2``."""

    key: str
    """Dotted."""
    before: str
    after: str

    @property
    def is_of_one_side(self) -> bool:
        """Whether the key, or what it switches on, is there on one side alone."""
        return _NOTHING in self[1:] or {self.before, self.after} == {"off", "on"}

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


def check_same_network(described: Mapping[str, Any], model: Mapping[str, Any], path: Path) -> None:
    """Compare the network in a checkpoint with the configured one.

    Args:
        described: the model's configuration in the checkpoint.
        model: the model's configuration now.
        path: of the checkpoint, for the message.

    Raises:
        ValueError: they differ; the message names the keys.
    """
    then, now = _network_keys(described), _network_keys(model)
    changes = changed_keys(then, now)
    if changes:
        told = "; ".join(map(str, changes[:5]))
        raise ValueError(
            f"{path} holds another network than the one configured ({told}). To resume, "
            f"{_what_to_type(changes, then, now, path)}; to start a new run from these weights, use "
            "init_from instead of ckpt."
        )


def _what_to_type(
    changes: Sequence[Change], then: Mapping[str, Any], now: Mapping[str, Any], path: Path
) -> str:
    """How to have the network that there was."""
    again, left_out = [], []
    for key, old, new in changes:
        if isinstance(_at(then, key), Mapping):  # another kind, which is a choice of files and a recipe
            return _words_at_its_start(path)
        if key == "class_names":  # which come from the data
            again.append(f"data.classes=[{','.join(map(_as_word, then[key]))}]")
            again += ["data.other_classes=skip"] if set(now[key]) - set(then[key]) else []
        elif key == "network.size":  # and this from the size of its inputs
            again.append(f"data.size={old}".replace(" ", ""))
        elif old == _NOTHING:
            left_out.append(f"model.{key}")
        else:
            again.append(f"{'+' if new == _NOTHING else ''}model.{key}={old}")
    told = [f"add {as_typed(again)}"] * bool(again) + [f"leave out {', '.join(left_out)}"] * bool(left_out)
    return " and ".join(told)


def _words_at_its_start(path: Path) -> str:
    """How to have a network of another kind: by the words that the run was started with."""
    now = [word for word in sys.argv[1:] if is_of_model(word)]
    words = words_of_model(str(path))
    before = now if words is None else words
    more, missing = ([word for word in a if word not in b] for a, b in ((now, before), (before, now)))
    told = [f"leave out {as_typed(more)}"] * bool(more) + [f"add {as_typed(missing)}"] * bool(missing)
    return " and ".join(told) or "give the overrides that the run was started with"


def _as_word(name: str) -> str:
    """A class as a member of a list that Hydra reads back."""
    is_plain = re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII) and name.lower() not in _READ_OTHERWISE
    return name if is_plain else in_quotes(name)


def _at(config: Any, key: str) -> Any:
    """What stands at a dotted key, None where nothing does."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def changed_keys(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[Change]:
    """What differs between two configurations, down to single values.

    Returns:
        Such as ``optimizer.lr: 0.1 -> 0.2``, ``optimizer: SGD -> AdamW``, ``callbacks.ema: off -> on``.
    """
    changes: list[Change] = []
    for key in sorted({*then, *now}):
        changes += _changes_at(f"{path}{key}", then.get(key, _NOTHING), now.get(key, _NOTHING))
    return changes


def _changes_at(name: str, old: Any, new: Any) -> list[Change]:
    before, after = _parts(old), _parts(new)
    if old == new:
        return []
    if before is not None and after is not None:
        return _changes_of_parts(name, before, after)
    parts = before if after is None else after
    if parts is None:
        return [Change(name, _shown(old), _shown(new))]
    if "_target_" in parts:  # a callback, a logger: it is there or not
        return [Change(name, _switch(old), _switch(new))]
    return changed_keys(before or {}, after or {}, f"{name}.")


def _changes_of_parts(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    then, now = (RENAMED.get(str(side.get("_target_")), side.get("_target_")) for side in (before, after))
    before = {**before, "_target_": then} if then else before
    if then == now or not (then and now):
        return changed_keys(before, after, f"{name}.")
    # Another kind has arguments of its own: what only one of the two takes has not changed.
    common = before.keys() & after.keys() - {"_target_"}
    before, after = ({key: side[key] for key in common} for side in (before, after))
    return [Change(name, _kind(then), _kind(now)), *changed_keys(before, after, f"{name}.")]


def _parts(value: Any) -> Mapping[str, Any] | None:
    """What a value consists of, by name or number; None for what is shown as a whole."""
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return {str(number): item for number, item in enumerate(value)}
    return value if isinstance(value, Mapping) else None


def _shown(value: Any) -> str:
    """A plain value as it is typed."""
    return "null" if value is None else f"{value}".lower() if isinstance(value, bool) else f"{value}"


def _switch(value: Any) -> str:
    if value in (None, _NOTHING):
        return "off"
    return _shown(value) if _parts(value) is None else "on"


def _kind(target: str) -> str:
    return target.rpartition(".")[2]


def _network_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    keys = {key: model[key] for key in _NETWORK if key in model}
    # Where the backbone's first weights came from is history, and what of it learns may change.
    others = ("weights", "frozen_blocks", "freeze_batchnorm")
    backbone = {key: value for key, value in keys.get("backbone", {}).items() if key not in others}
    return {**keys, "backbone": backbone}
