"""What a checkpoint says of its detector, checked before anything of it is imported or built.

A description is data: dicts, lists, strings, numbers, true, false and null. What it may call is in the
registry; arguments are compared with the signatures of what is called only after all names are known.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from detection import registry
from detection.bounds import Positive, Size
from detection.data.learned import MOST, WIDTH
from detection.validation.suggestions import join

DATA_KEYS = ("size", "eval_transform", "collate")
"""What a description says of the data: how images become inputs."""

_PARTS: dict[str, registry.Kind] = {
    "backbone": "backbone",
    "network": "network",
    "optimizer": "optimizer",
    "scheduler": "schedule",
    "eval_transform": "transform",
}
# Those that are called later, and with what.
_COMPLETED_LATER = {
    "network": ("backbone", "num_classes"),
    "optimizer": ("params",),
    "transform": ("size",),
}
# Has the names of classes for keys, which may be any text.
_BY_CLASS = "model.class_weights"

_MAX_DEPTH, _MAX_VALUES, _MAX_LENGTH, _MAX_STRING = 20, 200_000, 1_000, 1_000
_MAX_CLASSES = 100_000
_MAX_IMAGES = 10_000_000
_MAX_NAME = 4096  # bytes of a path, on Linux
_MAX_INTEGER = 10**12
_DIGESTS = re.compile(f"(?:[A-Za-z0-9+/]{{{WIDTH}}})*")


class DescriptionError(ValueError):
    """A description that is not built; the message says why, without naming the checkpoint."""


def check_description(described: Mapping[str, Any], to_train: bool = True) -> dict[str, Any]:
    """Refuse a description that says anything but how to build a detector.

    Args:
        described: with ``model``, ``data`` and, if it has them, ``format``, ``split`` and ``learned``.
        to_train: whether the task will be built, and not its network alone; else the values of what only
            trains, which nothing will read, are not looked into. Names are, in any case.

    Returns:
        A copy of plain values, with today's names of what has moved.

    Raises:
        DescriptionError: it holds other things than plain values, names what may not be named, or asks for
            something without bounds.
    """
    images = {key: check(described[key]) for key, check in _OF_IMAGES.items() if key in described}
    copy: dict[str, Any] = _copy(
        {key: value for key, value in described.items() if key not in _OF_IMAGES}, "", [0], 0
    )
    # Only for the values is anything imported, and then all of it is ours or the user's own.
    mistake = next(_mistakes(copy), None) or next(_odd_values(copy, to_train), None)
    if mistake is not None:
        raise DescriptionError(mistake if len(mistake) <= 600 else f"{mistake[:600]}...")
    return {**copy, **images}


def check_inputs(data: Any) -> dict[str, Any]:
    """Refuse a description of how images become inputs that says anything else.

    Args:
        data: with the keys ``DATA_KEYS``.

    Returns:
        A copy of plain values.

    Raises:
        DescriptionError: see ``check_description``.
    """
    copy: dict[str, Any] = _copy({"data": data}, "", [0], 0)
    mistake = next(_mistakes_of_data(copy["data"]), None) or next(_odd_inputs(copy["data"]), None)
    if mistake is not None:
        raise DescriptionError(mistake)
    inputs: dict[str, Any] = copy["data"]
    return inputs


def _checked_split(split: Any) -> dict[str, Any]:
    """Which images were set apart: names, which nothing is looked up by but the images of a set."""
    if (
        type(split) is not dict
        or split.keys() != {"seed", "fractions", "images"}
        or type(split["seed"]) is not int
    ):
        raise DescriptionError("split: expected a seed, fractions and images")
    fractions, images = split["fractions"], split["images"]
    if type(fractions) is not dict or not {"val", "test"} >= fractions.keys() or not fractions:
        raise DescriptionError("split.fractions: expected those of val and test")
    if not all(type(fraction) is float and 0 < fraction < 1 for fraction in fractions.values()):
        raise DescriptionError("split.fractions: expected numbers between 0 and 1")
    if type(images) is not dict or images.keys() != {"train", *fractions}:
        raise DescriptionError("split.images: expected those of train and of each fraction")
    if (
        not all(type(names) is list for names in images.values())
        or sum(map(len, images.values())) > _MAX_IMAGES
    ):
        raise DescriptionError(f"split.images: expected lists of at most {_MAX_IMAGES:,} names")
    if not all(type(name) is str and len(name) <= _MAX_NAME for names in images.values() for name in names):
        raise DescriptionError("split.images: expected names")
    return {
        "seed": split["seed"],
        "fractions": dict(fractions),
        "images": {part: list(names) for part, names in images.items()},
    }


def _checked_learned(learned: Any) -> str:
    """Which images were learned: digests in one text, see ``detection.data.learned``."""
    if type(learned) is not str or len(learned) > MOST * WIDTH or not _DIGESTS.fullmatch(learned):
        raise DescriptionError(f"learned: expected {WIDTH} characters an image, of {MOST:,} images at most")
    return learned


# Larger than what else a description holds; names and digests, which are compared and nothing more.
_OF_IMAGES: dict[str, Callable[[Any], Any]] = {"split": _checked_split, "learned": _checked_learned}


def _copy(value: Any, path: str, seen: list[int], depth: int) -> Any:
    seen[0] += 1  # of what stands in several places each time, so that a small file cannot be a huge tree
    if depth > _MAX_DEPTH or seen[0] > _MAX_VALUES:
        raise DescriptionError("it is nested too deeply, or has too many values")
    if type(value) is dict:
        for key in value:
            is_class = path == _BY_CLASS and type(key) is str and _problem(key) is None
            if not is_class and (type(key) is not str or not key.isidentifier()):
                raise DescriptionError(f"{path or 'it'} has a key that is no name: {_brief(key)}")
        return {key: _copy(child, join(path, key), seen, depth + 1) for key, child in value.items()}
    if type(value) is list:
        if len(value) > (_MAX_CLASSES if path == "model.class_names" else _MAX_LENGTH):
            raise DescriptionError(f"{path} has {len(value)} entries")
        return [_copy(child, join(path, index), seen, depth + 1) for index, child in enumerate(value)]
    problem = _problem(value)
    if problem is not None:
        raise DescriptionError(f"{path}: {problem}")
    return value


def _problem(value: Any) -> str | None:
    """What is wrong with a value that is neither a dict nor a list."""
    from detection.data.classes import printable

    if value is None or type(value) in (bool, float):
        return None
    if type(value) is str:
        if len(value) > _MAX_STRING:
            return f"a text of {len(value)} characters"
        if "${" in value:
            return f"{_brief(value)} would be looked up, in the environment for one"
        if not printable(value):
            return f"{_brief(value)} holds control characters"
        return None
    if type(value) is int:  # one of thousands of digits could not even be shown
        return None if abs(value) <= _MAX_INTEGER else f"an integer beyond the limit, {_MAX_INTEGER:,}"
    return f"a {type(value).__name__}, where a description holds dicts, lists, strings and numbers"


def _mistakes(described: dict[str, Any]) -> Iterator[str]:
    model, data = described["model"], described["data"]
    if type(model) is not dict or type(data) is not dict:
        yield "model and data must be dicts"
        return
    yield from _mistakes_of_node(model, "model", "task")
    for part in ("backbone", "network", "optimizer", "scheduler"):
        if part not in model:
            yield f"model.{part}: missing"
    names = model.get("class_names")
    if type(names) is not list or not all(type(name) is str for name in names):
        yield "model.class_names: expected a list of strings"
    yield from _mistakes_of_data(data)


def _mistakes_of_data(data: Any) -> Iterator[str]:
    if type(data) is not dict:
        yield "data must be a dict"
        return
    if data.keys() != set(DATA_KEYS):
        keys = ", ".join(_brief(key) for key in sorted(data.keys() ^ set(DATA_KEYS)))
        yield f"data: expected the keys {', '.join(DATA_KEYS)}; these are missing or too many: {keys}"
        return
    yield from _mistakes_of_node(data["eval_transform"], "data.eval_transform", "transform")
    if data["collate"] not in ("padded", "list"):
        yield f"data.collate: expected padded or list, got {_brief(data['collate'])}"


def _odd_values(described: dict[str, Any], to_train: bool) -> Iterator[str]:
    """Check the arguments of calls that are known to be allowed, and what is read besides."""
    # These take a while: --help does not wait for them.
    from detection.data.classes import wrong_names
    from detection.validation.configuration import check_config, check_value

    model, data, training = described["model"], described["data"], described.get("training", {})
    if (wrong := wrong_names(model["class_names"])) is not None:
        yield f"model.class_names: {wrong}"
    yield from check_config({"model": model if to_train else registry.alone(model) or model})
    yield from _odd_inputs(data)
    if type(training) is not dict:
        yield f"training: expected a dict, got {_brief(training)}"
        return
    for key, annotation in (("precision", str | int | None), ("batches_per_epoch", Positive | None)):
        for mistake in check_value(training.get(key), annotation, f"training.{key}"):
            yield mistake.sentence


def _odd_inputs(data: dict[str, Any]) -> Iterator[str]:
    from detection.validation.configuration import check_config, check_value

    yield from (mistake.sentence for mistake in check_value(data["size"], Size, "data.size"))
    yield from check_config({"data": data})


def _mistakes_of_node(node: Any, path: str, kind: registry.Kind | None) -> Iterator[str]:
    """Check one call and those below it; those that a user's own class wants may be of any kind."""
    if type(node) is not dict or type(node.get("_target_")) is not str:
        yield f"{path}: expected a {kind or 'part'} (_target_ and its arguments), got {_brief(node)}"
        return
    entry = registry.find(node["_target_"])
    if entry is None:
        yield f"{path} would call {_brief(node['_target_'])}. {_HOW_TO_REGISTER}"
        return
    node["_target_"] = entry.name
    if entry.kind not in (None, kind):
        yield f"{path} would call {entry.name}, which is a {entry.kind} and no {kind or 'part of yours'}"
    later = node.get("_partial_", False)
    if type(later) is not bool or (entry.kind is not None and later != (entry.kind in _COMPLETED_LATER)):
        yield f"{path}._partial_: {_brief(later)} is not for a {entry.kind or 'class'}"
    for key, value in node.items():
        if key.startswith("_") and key not in ("_target_", "_partial_"):
            yield f"{path}: {_brief(key)} is no argument"
        elif entry.kind is not None and key in _COMPLETED_LATER.get(entry.kind, ()):
            yield f"{path}.{key}: is given when {entry.name} is called, not in a description"
        elif entry.kind == "task" and key in _PARTS:
            yield from _mistakes_of_node(value, join(path, key), _PARTS[key])
        elif entry.kind is None:
            yield from _mistakes_below(value, join(path, key))
        elif join(path, key) == _BY_CLASS and type(value) is dict:
            if "_target_" in value or any(map(_holds_dict, value.values())):
                yield f"{_BY_CLASS}: expected numbers by the names of classes"
        elif key not in ("_target_", "_partial_") and _holds_dict(value):
            yield f"{path}.{key}: takes no dict"


def _mistakes_below(value: Any, path: str) -> Iterator[str]:
    """Check the calls in an argument of a user's own class."""
    if type(value) is dict and "_target_" in value:
        name = path.rpartition(".")[2]
        yield from _mistakes_of_node(value, path, _PARTS.get(name))
    elif type(value) is dict or type(value) is list:
        children = value.items() if type(value) is dict else enumerate(value)
        for key, child in children:
            yield from _mistakes_below(child, join(path, key))


def _holds_dict(value: Any) -> bool:
    return type(value) is dict or (type(value) is list and any(_holds_dict(child) for child in value))


def _brief(value: Any) -> str:
    """A value in a message: on one line, without control characters, and not long."""
    text = ascii(value) if type(value) in (str, int, float, bool, type(None)) else type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


_HOW_TO_REGISTER = (
    "That is neither a part of this package nor registered: for a class of your own, put "
    "@detection.registry.register before it and give the package that holds it, plugins=[my_package]; a "
    "checkpoint of somebody else that names such a thing should not be opened"
)
