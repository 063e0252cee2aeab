"""Checks a resolved configuration against the constructors it names, before anything is built.

A configuration here is what YAML holds: nested dicts and lists of plain values. A dict with ``_target_``
will become a call of that target; its other keys are the arguments. All mistakes are reported together.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from types import ModuleType
from typing import Any, NamedTuple

from detection.registry import RENAMED
from detection.settings import key_of
from detection.validation.suggestions import did_you_mean, join, successor
from detection.validation.values import asked_for, fits, meant, typed

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_HYDRA_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_")


class Mistake(NamedTuple):
    """What is wrong with a configuration."""

    path: str
    """The dotted path of the value."""
    sentence: str
    """For the user; it begins with the path."""
    meant: tuple[Any, ...] = ()
    """The value in its place, where there is one sensible reading."""


class _Target(NamedTuple):
    """What a node calls."""

    name: str
    parameters: list[Parameter]
    lacking: list[str]
    """Abstract methods of a class that it does not have."""

    @property
    def positional(self) -> list[Parameter]:
        return [parameter for parameter in self.parameters if parameter.kind in _POSITIONAL]

    @property
    def named(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters if parameter.kind in _NAMED}

    def accepts(self, kind: Any) -> bool:
        """Say whether there is a ``*args`` or ``**kwargs``."""
        return any(parameter.kind is kind for parameter in self.parameters)


def check_config(config: Mapping[str, Any]) -> list[str]:
    """Bind every node that has ``_target_`` to its target's signature and compare values with annotations.

    Values are held to YAML's own types: an int passes for a float and a list for a tuple, but ``"12"`` is
    not an int. Values whose annotation asks for an object that YAML cannot hold are not judged, nor is
    what ``**kwargs`` takes. Arguments may be missing where ``_partial_: true``, and below
    ``_recursive_: false``, where the owner completes the call.

    Args:
        config: The whole configuration, interpolations resolved.

    Returns:
        One sentence per mistake, headed by the dotted path, in the order of the configuration.
    """
    return [mistake.sentence for mistake in find_mistakes(config)]


def find_mistakes(config: Mapping[str, Any]) -> list[Mistake]:
    """Find what :func:`check_config` tells, with the readings of values that are nearly right.

    Args:
        config: The whole configuration, interpolations resolved.
    """
    return list(_check(config, path="", complete=True))


def find_mistakes_in_keys(
    config: Mapping[str, Any], constructor: Callable[..., Any], path: str = ""
) -> list[Mistake]:
    """Compare with a constructor's signature those keys that have the names of its parameters.

    Args:
        config: What holds the keys, and others.
        constructor: What has the signature.
        path: The dotted path of ``config``.
    """
    parameters = {key_of(parameter.name): parameter for parameter in _parameters(constructor)}
    return [
        mistake
        for key, value in config.items()
        if key in parameters
        for mistake in _check_type(value, parameters[key], join(path, key))
    ]


def argument_names(name: str) -> list[str]:
    """The names of a constructor's parameters; none where it does not tell.

    Args:
        name: The constructor's dotted name.

    Raises:
        Exception: of any kind, since importing runs foreign code.
    """
    target = _signature(name)
    return [] if target is None else [parameter.name for parameter in target.parameters]


def _parameters(constructor: Callable[..., Any]) -> list[Parameter]:
    try:
        signature = inspect.signature(constructor, eval_str=True)
    except NameError:  # a name imported for type checkers only; such annotations stay strings
        signature = inspect.signature(constructor)
    return list(signature.parameters.values())


def _check(value: Any, path: str, complete: bool) -> Iterator[Mistake]:
    """Check what is below ``path``; ``complete`` says whether required arguments must be there."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield from _check_node(value, path, complete)
        else:
            for key, child in value.items():
                yield from _check(child, join(path, key), complete)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _check(child, join(path, index), complete)


def _check_node(node: Mapping[str, Any], path: str, complete: bool) -> Iterator[Mistake]:
    """Check one call and, at the place of each argument, what is below it."""
    name = str(node["_target_"])
    target = None
    try:
        target = _signature(name)
    except Exception as error:  # importing runs foreign code, which may fail in any way
        if isinstance(error, MemoryError) or "failed to map segment" in str(error):  # the loader's words
            raise SystemExit(
                f"There is not enough memory to import {name} ({error}); is it limited, as by 'ulimit -v'?"
            ) from error
        moved = f"it is {RENAMED[name]} now" if name in RENAMED else error
        yield Mistake(path, f"{path or 'config'}: cannot import '{name}': {moved}")
    if target is not None and target.lacking:
        methods = ", ".join(target.lacking)
        yield Mistake(path, f"{path}: {name} lacks {methods}: the class that it extends asks for it")
    for key, value in node.items():
        if key in _HYDRA_KEYS:
            continue
        if target is not None and key == "_args_":
            yield from _check_positional(value, target, join(path, key))
        elif target is not None:
            yield from _check_named(key, value, target, join(path, key))
        yield from _check(value, join(path, key), complete and node.get("_recursive_", True))
    if target is not None:
        must_be_complete = complete and not node.get("_partial_", False)
        yield from _check_binding(node, target, path, must_be_complete)


def _check_named(key: str, value: Any, target: _Target, path: str) -> Iterator[Mistake]:
    if key in target.named:
        yield from _check_type(value, target.named[key], path)
    elif not target.accepts(Parameter.VAR_KEYWORD):
        hint = f"; {now}" if (now := successor(path)) else did_you_mean(key, target.named)
        yield Mistake(path, f"{path}: {target.name} has no argument '{key}'{hint}")


def _check_positional(values: list[Any], target: _Target, path: str) -> Iterator[Mistake]:
    if len(values) > len(target.positional) and not target.accepts(Parameter.VAR_POSITIONAL):
        expected = len(target.positional)
        yield Mistake(path, f"{path}: {target.name} takes {expected} positional arguments, got {len(values)}")
    for index, (value, parameter) in enumerate(zip(values, target.positional, strict=False)):
        yield from _check_type(value, parameter, join(path, index))


def _check_binding(node: Mapping[str, Any], target: _Target, path: str, complete: bool) -> Iterator[Mistake]:
    """Check that no argument is given twice and, of a complete call, that none is missing."""
    filled = {parameter.name for parameter in target.positional[: len(node.get("_args_", []))]}
    for parameter in target.parameters:
        name = join(path, parameter.name)
        if parameter.name in filled and parameter.name in node:
            yield Mistake(name, f"{name}: given twice, by name and in _args_")
        given = parameter.name in filled or parameter.name in node
        optional = parameter.default is not Parameter.empty or parameter.kind in _VARIADIC
        if complete and not given and not optional:
            yield Mistake(name, f"{name}: missing, {target.name} needs it")


def _check_type(value: Any, parameter: Parameter, path: str) -> Iterator[Mistake]:
    default = parameter.default
    is_default = type(value) is type(default) and value == default
    if not is_default and not _has_target(value):
        yield from check_value(value, parameter.annotation, path)


def check_value(value: Any, annotation: Any, path: str) -> Iterator[Mistake]:
    """Compare one value with an annotation, as :func:`check_config` does.

    Args:
        value: of YAML's types.
        annotation: a type, with the bounds of :mod:`detection.bounds` if it has any.
        path: the dotted path of the value.

    Yields:
        A mistake where the value is none of the annotation's.
    """
    if fits(value, annotation) is not False:
        return
    sentence = f"{path}={typed(value)}: give {asked_for(annotation)}"
    try:
        yield Mistake(path, sentence, (meant(value, annotation),))
    except LookupError:
        yield Mistake(path, sentence)


def _signature(name: str) -> _Target | None:
    """Return what a dotted name is called with, None if it does not tell (some builtins)."""
    target = _locate(name)
    try:
        lacking = sorted(getattr(target, "__abstractmethods__", ()))
        return _Target(name.rpartition(".")[2], _parameters(target), lacking)
    except ValueError:
        return None


def _locate(name: str) -> Callable[..., Any]:
    """Import the object behind a dotted name, or say which part of the name is wrong."""
    first, *rest = name.split(".")
    found: Any = importlib.import_module(first)
    path = first
    for part in rest:
        submodules = [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))]
        if not hasattr(found, part) and part in submodules:
            importlib.import_module(f"{path}.{part}")
        if not hasattr(found, part):
            raise ImportError(f"{path} has no '{part}'{did_you_mean(part, [*dir(found), *submodules])}")
        found, path = getattr(found, part), f"{path}.{part}"
    if isinstance(found, ModuleType) or not callable(found):
        raise ImportError("it is not a class or a function")
    target: Callable[..., Any] = found
    return target


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(_has_target(child) for child in value.values())
    return isinstance(value, list | tuple) and any(_has_target(child) for child in value)
