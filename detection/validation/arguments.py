"""What a program gives to a function, held to the function's own annotations."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, TypeVar, cast

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from detection.validation.other_words import READ_AS, find, told
from detection.validation.suggestions import did_you_mean
from detection.validation.values import asked_for

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Of pydantic: the type is right, the value is not.
_OF_VALUES = {
    *("greater_than_equal", "less_than_equal", "finite_number", "literal_error"),
    *("too_short", "too_long"),
}
_LONGEST = 60  # letters of a wrong value in a message
_IN_PYTHON = {"true or false": "True or False", "null": "None", "[a,b]": "['a', 'b']", "{a:b}": "{'a': 'b'}"}


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse what does not fit the annotations of a function, bounds included.

    An int passes for a float and a tuple for a list, but neither ``"0.5"`` for a number nor one word for a
    list of words. NumPy's numbers pass for Python's.

    Args:
        function: whose parameters have annotations that exist when it runs.
        given: arguments by name; others of the function are not judged.

    Raises:
        TypeError: an argument is of another type; the message says what to give.
        ValueError: it is of the type and out of bounds.
    """
    annotations = _annotations(function)
    for name, value in given.items():
        try:
            _adapter(annotations[name]).validate_python(plain(value))
        except ValidationError as error:
            kinds = {detail["type"] for detail in error.errors(include_url=False, include_input=False)}
            wrong = ValueError if kinds & _OF_VALUES else TypeError
            raise wrong(f"{name}={_shown(value)}: give {_asked_for(annotations[name])}.") from None


def plain(value: Any) -> Any:
    """Python's own number in place of NumPy's, also in a list or tuple; all else as it is."""
    if isinstance(value, list | tuple) and any(isinstance(item, np.generic) for item in value):
        return type(value)(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def telling_our_words(function: _Function) -> _Function:
    """Let a function end in a sentence where a word of another tool, or of nobody, is given.

    It is handed Python's numbers where NumPy's are given.

    Args:
        function: one that has the words of the command of its name, or a method of ``Detector`` that has.
    """
    verb = function.__name__
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    place = "Detector." * ("." in function.__qualname__) + verb
    others = " Settings of the command go into overrides=['optimizer.lr=0.01']." * ("overrides" in known)

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        for name in (name for name in named if name not in known):
            ours, value = find(READ_AS[verb], name), _shown(named[name])
            answer = told(place, name)
            if ours in known:
                answer = f"it is {ours}={value} here"
            elif ours and others:
                answer = f"it is overrides=[{f'{ours}={named[name]}'!r}] here"
            hint = f"; {answer}." if answer else did_you_mean(name, known)
            hint = hint or f"; it has {', '.join(known)}.{others}"
            raise TypeError(f"{name}={value}: {verb} has no such argument{hint}")
        return function(*map(plain, given), **{name: plain(value) for name, value in named.items()})

    return cast(_Function, call)


@cache
def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    written = {name: each.annotation for name, each in inspect.signature(function).parameters.items()}
    # Where a module keeps them as text, so that help() is short.
    as_text = all(isinstance(each, str) for name, each in written.items() if name != "self")
    return inspect.get_annotations(function, eval_str=True) if as_text else written


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def _asked_for(annotation: Any) -> str:
    said = asked_for(annotation)
    for typed, written in _IN_PYTHON.items():
        said = said.replace(typed, written)
    return said


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
