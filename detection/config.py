"""Checks a resolved configuration against the constructors it names, before anything is built.

A configuration here is what YAML holds: nested dicts and lists of plain values. A dict with ``_target_``
will become a call of that target; its other keys are the arguments. All mistakes are reported together.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from annotated_types import Interval, Len
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from detection.suggestions import did_you_mean, join, successor

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_HYDRA_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_")


class _Target(NamedTuple):
    """What a node calls."""

    name: str
    parameters: list[Parameter]

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
    return list(_check(config, path="", complete=True))


def _check(value: Any, path: str, complete: bool) -> Iterator[str]:
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


def _check_node(node: Mapping[str, Any], path: str, complete: bool) -> Iterator[str]:
    """Check one call and, at the place of each argument, what is below it."""
    name = str(node["_target_"])
    target = None
    try:
        target = _signature(name)
    except Exception as error:  # importing runs foreign code, which may fail in any way
        yield f"{path or 'config'}: cannot import '{name}': {error}"
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


def _check_named(key: str, value: Any, target: _Target, path: str) -> Iterator[str]:
    if key in target.named:
        yield from _check_type(value, target.named[key], path)
    elif not target.accepts(Parameter.VAR_KEYWORD):
        hint = f"; {now}" if (now := successor(path)) else did_you_mean(key, target.named)
        yield f"{path}: {target.name} has no argument '{key}'{hint}"


def _check_positional(values: list[Any], target: _Target, path: str) -> Iterator[str]:
    if len(values) > len(target.positional) and not target.accepts(Parameter.VAR_POSITIONAL):
        expected = len(target.positional)
        yield f"{path}: {target.name} takes {expected} positional arguments, got {len(values)}"
    for index, (value, parameter) in enumerate(zip(values, target.positional, strict=False)):
        yield from _check_type(value, parameter, join(path, index))


def _check_binding(node: Mapping[str, Any], target: _Target, path: str, complete: bool) -> Iterator[str]:
    """Check that no argument is given twice and, of a complete call, that none is missing."""
    filled = {parameter.name for parameter in target.positional[: len(node.get("_args_", []))]}
    for parameter in target.parameters:
        if parameter.name in filled and parameter.name in node:
            yield f"{join(path, parameter.name)}: given twice, by name and in _args_"
        given = parameter.name in filled or parameter.name in node
        optional = parameter.default is not Parameter.empty or parameter.kind in _VARIADIC
        if complete and not given and not optional:
            yield f"{join(path, parameter.name)}: missing, {target.name} needs it"


def _check_type(value: Any, parameter: Parameter, path: str) -> Iterator[str]:
    annotation, default = parameter.annotation, parameter.default
    is_default = type(value) is type(default) and value == default
    if annotation is Parameter.empty or isinstance(annotation, str) or is_default or _has_target(value):
        return
    yield from check_value(value, annotation, path)


def check_value(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """Compare one value with an annotation, as :func:`check_config` does.

    Args:
        value: of YAML's types.
        annotation: a type, with the bounds of :mod:`detection.bounds` if it has any.
        path: the dotted path of the value.

    Yields:
        A sentence where the value is none of the annotation's.
    """
    settings = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        adapter = TypeAdapter[Any](annotation, config=settings)
        # JSON has YAML's types, and pydantic's strict rules for it are the ones promised above.
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        if any(detail["type"] != "needs_python_object" for detail in error.errors(include_url=False)):
            yield f"{path}: expected {_in_words(annotation)}, got {value!r}"
    except SchemaError:  # a protocol, which YAML's own values do not fulfil
        if not isinstance(value, dict | list) and type(value) not in get_args(annotation):
            yield f"{path}: expected {_in_words(annotation)}, got {value!r}"
    except (PydanticUserError, NameError, TypeError):
        return  # an annotation that pydantic cannot describe, or a value that YAML cannot hold


def _in_words(annotation: Any) -> str:
    """An annotation as Python writes it, but for the bounds in it: ``int from 1 to 9``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "None"
    if "Annotated[" not in str(annotation):
        return inspect.formatannotation(annotation)
    if origin is Annotated:
        return " ".join([_in_words(parts[0]), *(_bound_in_words(bound) for bound in parts[1:])])
    words = [_in_words(part) for part in parts]
    return " or ".join(words) if origin in (Union, UnionType) else f"{origin.__name__}[{', '.join(words)}]"


def _bound_in_words(bound: Interval | Len) -> str:
    if isinstance(bound, Len):
        low, high = bound.min_length, bound.max_length
        return f"of {low}" if low == high else f"of {low} to {high}"
    return f"from {bound.ge:,} to {bound.le:,}"


def _signature(name: str) -> _Target | None:
    """Return what a dotted name is called with, None if it does not tell (some builtins)."""
    target = _locate(name)
    try:
        try:
            signature = inspect.signature(target, eval_str=True)
        except NameError:  # a name imported for type checkers only; such annotations stay strings
            signature = inspect.signature(target)
    except ValueError:
        return None
    return _Target(name.rpartition(".")[2], list(signature.parameters.values()))


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
