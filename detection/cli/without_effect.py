"""Keys that are read only under some value of another key: typed without it, they would change nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class _Under(NamedTuple):
    """When a key is read."""

    key: str
    """The other key; missing in a configuration is null."""
    example: str
    """What to type of it."""
    values: Sequence[Any] = ()
    """Under which of its values; empty: any but null, false and the empty ones."""

    def holds(self, value: Any) -> bool:
        if isinstance(value, list) and self.values:
            return any(item in self.values for item in value)
        return value in self.values if self.values else bool(value)


_READ = {
    "model.neg_pos_ratio": _Under("model.class_loss", "softmax", ["softmax"]),
    "optimizer.base_batch_size": _Under("optimizer.scale_lr", "true"),
    "data.sampling_threshold": _Under("data.sampling", "repeat_factor", ["repeat_factor"]),
    "data.cache_folder": _Under("data.cache", "disk", ["disk"]),
    "data.archive_folder": _Under("data.download", "true"),
}
_READ_BY = {
    "predict": {
        "overlap": _Under("tiles", "auto"),
        "link": _Under("save", "[voc]", ["voc", "coco", "yolo"]),
    },
    "evaluate": {"overlap": _Under("tiles", "auto")},
    "export": {
        "calibration_images": _Under("int8", "true"),
        "split": _Under("data._target_", "data=... (auto, coco, voc07 and others)"),
        "overlap": _Under("tiles", "auto"),
    },
    "convert": {
        "seed": _Under("split", "[0.8,0.2]"),
        "coco_images": _Under("from", "coco", ["coco"]),
        "coco_annotations": _Under("from", "coco", ["coco"]),
    },
}


def without_effect(config: Mapping[str, Any], typed: Sequence[str], verb: str) -> list[str]:
    """Find what was typed in vain.

    Args:
        config: the whole configuration, resolved.
        typed: the words of the command line, ``KEY=VALUE``.
        verb: the command.

    Returns:
        A sentence for each such word, with what to type.
    """
    read, found = _READ | _READ_BY.get(verb, {}), []
    for word in typed:
        key, _, value = word.lstrip("+").partition("=")
        under = read.get(key)
        given = _at(config, key)
        if under is None or value == "null" or given is None or given is False:
            continue  # a switch that is off asks for nothing
        if under.holds(_at(config, under.key)):
            continue
        other = under.example if "=" in under.example else f"{under.key}={under.example}"
        found.append(f"{key}={value}: it is read with {other} only: leave it out, or give that, too")
    return found


def _at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
