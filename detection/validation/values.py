"""Values beside what their constructor asks for: whether they fit, how that is said, and what was meant."""

import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Interval, Len
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from yaml import YAMLError, safe_load

_ONE: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
    type(None): "null",
}
_MANY: dict[Any, tuple[str, str]] = {
    int: ("whole numbers", "[1,2]"),
    float: ("numbers", "[0.5,0.8]"),
    str: ("words", "[a,b]"),
}
_WORDS: dict[str, Any] = {
    "true": True, "yes": True, "on": True, "false": False, "no": False, "off": False,
    "none": None, "null": None, "~": None,
}  # fmt: skip
_LONGEST = 60  # letters of a wrong value in a message
_NO_LIMIT = 1_000_000  # what is allowed to go so far has a limit that nobody needs to be told


def fits(value: Any, annotation: Any) -> bool | None:
    """Say whether a value has the type that an annotation asks for, by YAML's own types.

    An int passes for a float and a list for a tuple, but ``"12"`` is no int. Numbers are finite, and
    within the bounds of the annotation (`detection.bounds`).

    Args:
        value: what YAML can hold.
        annotation: of a constructor's parameter.

    Returns:
        None where the annotation asks for an object that YAML cannot hold, or cannot be described.
    """
    if annotation is Parameter.empty or isinstance(annotation, str):
        return None
    try:
        settings = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        adapter = TypeAdapter[Any](annotation, config=settings)
        # JSON has YAML's types, and pydantic's strict rules for it are the ones promised above.
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        wrong = any(detail["type"] != "needs_python_object" for detail in error.errors(include_url=False))
        return False if wrong else None
    except SchemaError:  # a protocol, which YAML's own values do not fulfil
        return None if isinstance(value, dict | list) or type(value) in get_args(annotation) else False
    except (PydanticUserError, NameError, TypeError):
        return None
    return True


def meant(value: Any, annotation: Any) -> Any:
    """Find the one sensible reading of a value that does not fit: ``10.0`` for 10, ``cat`` for ``[cat]``.

    Args:
        value: what YAML can hold.
        annotation: what it should fit.

    Raises:
        LookupError: there is none.
    """
    choices = [choice for kind in _kinds(annotation) for choice in _choices(kind) if isinstance(choice, str)]
    if isinstance(value, str) and (same := [each for each in choices if each.lower() == value.lower()]):
        return same[0]
    for candidate in _candidates(value):
        if fits(candidate, annotation):
            return candidate
    raise LookupError(value)


def asked_for(annotation: Any) -> str:
    """What an annotation asks for, in words: ``a whole number or null``."""
    kinds = list(_kinds(annotation))
    choices = list(dict.fromkeys(str(choice) for kind in kinds for choice in _choices(kind)))
    # Half of its choices are spelt twice, as numbers and as words.
    said = [f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]] if choices else []
    said += filter(None, map(_said, kinds))
    if not set(said) - {_ONE[type(None)]}:
        names = [getattr(kind, "__name__", str(kind)) for kind in kinds if kind is not type(None)]
        said.insert(0, f"a part with a _target_ ({', '.join(names)})")
    # Lists last: their examples end the sentence.
    return " or ".join(sorted(dict.fromkeys(said), key=lambda words: words.startswith("a list")))


def typed(value: Any) -> str:
    """A value as it is typed on the command line, cut where it is long."""
    text = _typed(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_typed(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_typed, value))}]"
    # What would be read as a number, say, was typed in quotes.
    return f"'{value}'" if isinstance(value, str) and list(_plain(value)) else str(value)


def _candidates(value: Any) -> Iterator[Any]:
    """What a value may stand for, the most likely first."""
    if isinstance(value, list):
        if len(value) == 1:
            yield value[0]
            yield from _candidates(value[0])
        yield [next((form for form in _plain(child) if type(form) is not bool), child) for child in value]
        yield [child if isinstance(child, str | list | dict) else _typed(child) for child in value]
        return
    plain = list(_plain(value))
    yield from plain
    if isinstance(value, str) and (value[:1], value[-1:]) in (("[", "]"), ("{", "}")):  # a list in quotes
        with suppress(YAMLError):
            yield safe_load(re.sub(r":(?=\S)", ": ", value) if value[0] == "{" else value)
    if isinstance(value, str) and "," in value:
        parts = [part.strip() for part in value.split(",")]
        yield [next(_plain(part), part) for part in parts]
        yield parts
    for single in [value, *plain]:
        yield [single]


def _plain(value: Any) -> Iterator[Any]:
    """The other forms of one number or word."""
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    elif type(value) is int:
        if value in (0, 1):
            yield bool(value)
        yield str(value)
    elif isinstance(value, str):
        text = value.strip(" '\"")
        if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text, re.I):
            number = float(text)
            yield int(number) if number.is_integer() else number
        if text.lower() in _WORDS:
            yield _WORDS[text.lower()]
        if text != value:
            yield text


def _kinds(annotation: Any) -> Iterator[Any]:
    """The members of a union, and of the unions in it."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _kinds(member)
    else:
        yield type(None) if annotation is None else annotation


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _said(kind: Any) -> str:
    """One kind of value in words; nothing for a Literal, and for what YAML cannot hold."""
    kind, bounds = _without_bounds(kind)
    if kind in _ONE:
        return _ONE[kind] + _range(bounds)
    origin, members = get_origin(kind) or kind, get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        said = asked_for(members[1]) if len(members) == 2 else ""
        return f"pairs, such as {{name: 2}}, each with {said}" if "number" in said else "pairs, such as {a:b}"
    if not (isinstance(origin, type) and issubclass(origin, Sequence)):
        return ""
    member, member_bounds = _without_bounds(members[0]) if members else (None, ())
    if choices := _choices(member):
        return (
            f"a list of some of {', '.join(map(str, choices))}, such as [{','.join(map(str, choices[:2]))}]"
        )
    if origin is tuple and len(set(members) - {Ellipsis}) > 1:
        return f"a list of {len(members)}: {'; '.join(map(asked_for, members))}"
    many, example = _MANY.get(member, ("", ""))
    least = most = len(members) if origin is tuple and Ellipsis not in members else None
    for bound in bounds:
        if isinstance(bound, Len):
            least, most = bound.min_length, bound.max_length
    count = "" if most is None else f"{most} " if least == most else f"{least} to {most} "
    if not many:
        of = f" of {count.strip()}" if count else ""
        return f"a list{of}, each {asked_for(member)}" if members else f"a list{of}"
    such_as = f", such as {example}" if least is None or most is None or least <= 2 <= most else ""
    return f"a list of {count}{many}{_range(member_bounds)}{such_as}"


def _without_bounds(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(kind) is not Annotated:
        return kind, ()
    bare, *bounds = get_args(kind)
    return bare, tuple(bounds)


def _range(bounds: tuple[Any, ...]) -> str:
    for bound in bounds:
        if isinstance(bound, Interval):
            least, most = float(str(bound.ge)), float(str(bound.le))
            return f" from {least:,g} to {most:,g}" if most < _NO_LIMIT else f" of at least {least:,g}"
    return ""
