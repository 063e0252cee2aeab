"""What the tables of configuration keys hold: keys, types, values, meanings, from where they are defined."""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from annotated_types import Interval
from hydra import compose
from omegaconf import OmegaConf

import detection.cli.compose  # noqa: F401  registers what the configuration files call
from detection import settings
from detection.cli.hydra_versions import configurations
from detection.settings import Settings, key_of

CONF = Path(__file__).parents[2] / "conf"
_SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_")


class Row(NamedTuple):
    """One key."""

    key: str
    type: str
    value: str
    meaning: str


class Part(NamedTuple):
    """One constructor that a file names."""

    path: str
    constructor: str
    rows: list[Row]


@dataclass(frozen=True)
class File:
    """One file of a group."""

    name: str
    told: str
    """What stands at its head."""
    parts: list[Part]
    """Constructors that no file before it named at the same place."""
    sets: list[str]
    """Its own lines, where its constructors were shown before."""


def command_rows(name: str) -> list[Row]:
    """The keys of a command.

    Args:
        name: of its class in ``detection/settings/``.
    """
    kind: type[Settings] = getattr(settings, name)
    meanings = {key: told for base in reversed(kind.__mro__) for key, told in documented(base).items()}
    inherited = {field.name for base in kind.__bases__ if base is not Settings for field in _fields(base)}
    own = [field for field in fields(kind) if field.name not in inherited or field.name in documented(kind)]
    hints = typing.get_type_hints(kind, include_extras=True)
    written = yaml.safe_load((CONF / f"{name.lower()}.yaml").read_text())
    rows = []
    for field in own:
        key = key_of(field.name)
        given = written.get(key, field.default) if field.default is MISSING else field.default
        value = "" if str(given).startswith("${") else _default(given)  # its meaning says what it is
        rows.append(Row(key, type_in_words(hints[field.name]), value, meanings[field.name]))
    return rows


def group_files(group: str) -> Iterator[File]:
    """The files of a group of ``conf``, the one that is the default first.

    Args:
        group: such as ``data`` or ``model/backbone``.
    """
    default = {"data": "voc0712", "model": "ssd", "model/backbone": "vgg16_atrous"}.get(group, "default")
    names = sorted(
        (path.stem for path in (CONF / group).glob("[!_]*.yaml")), key=lambda name: (name != default, name)
    )
    shown: set[tuple[str, str]] = set()
    for name in names:
        text = (CONF / group / f"{name}.yaml").read_text()
        cfg = _composed(group, name)
        comments = _comments(group, name)
        content = yaml.safe_load(text) or {}
        parts = [
            part
            for path in _targets(content, _package(group, text))
            for part in _parts(path, cfg, comments, shown)
        ]
        sets = [] if parts else _without_head(text)
        yield File(name, _head(text), parts, sets)


def recipe_files(beginning: str) -> Iterator[tuple[str, str]]:
    """Names and contents of the files of ``conf/experiment`` whose names begin so."""
    for path in sorted((CONF / "experiment").glob(f"{beginning}*.yaml")):
        yield path.stem, "\n".join(path.read_text().splitlines()[1:])


def documented(thing: Any) -> dict[str, str]:
    """What a docstring says of each argument."""
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__  # not that of a base
    _, _, section = inspect.cleandoc(own or "").partition("Args:\n")
    block = re.split(r"\n\n?(?=\S)", section)[0]
    entries = re.split(r"\n(?=    \*{0,2}\w)", "\n" + block.rstrip())
    told = {}
    for entry in entries:
        found = re.match(r"\s*\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)", entry, re.S)
        if found:
            told[found[1]] = re.sub(r"\s+", " ", found[2])
    return told


def type_in_words(hint: Any) -> str:
    """A type annotation as a user would say it: ``int, 1 to 100`` or ``raise | skip``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = [item for item in arguments[1:] if isinstance(item, Interval)]
        plain = type_in_words(arguments[0])
        return plain + "".join(f", {_range(bound)}" for bound in bounds)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(type_in_words, arguments)))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if (origin is not None and origin in (list, tuple)) or getattr(origin, "__name__", "") == "Sequence":
        item = type_in_words(arguments[0]) if arguments else "object"
        return f"list of ({item})" if " | " in item else f"list of {item}"
    if hint is type(None):
        return "null"
    if hint in (int, float, str, bool):
        return str(hint.__name__)
    return "object"


def _parts(path: str, cfg: Any, comments: Mapping[str, str], shown: set[tuple[str, str]]) -> Iterator[Part]:
    """The constructor at a place, as its bases document it; what was shown before is left out."""
    given = OmegaConf.to_container(OmegaConf.select(cfg, path), resolve=False)
    assert isinstance(given, dict)
    name = str(given["_target_"])
    constructor = _imported(name)
    hints = _hints(constructor)
    lineage = constructor.__mro__ if inspect.isclass(constructor) else (constructor,)
    owners = [owner for owner in lineage if owner.__module__.startswith("detection.")]
    meanings = _meanings_elsewhere(lineage) | {
        key: told for owner in reversed(owners) for key, told in documented(owner).items()
    }
    before = {key for owner in owners if (path, _name(owner)) in shown for key in documented(owner)}
    own_docs = {key for owner in owners if (path, _name(owner)) not in shown for key in documented(owner)}
    rows = []
    for parameter in inspect.signature(constructor).parameters.values():
        key, default = parameter.name, parameter.default
        value = given.get(key, default)
        passed = default is parameter.empty and key not in given  # by the program, not by a configuration
        built = isinstance(value, dict) and "_target_" in value  # has rows of its own
        copied = isinstance(value, str) and re.fullmatch(r"\$\{(optimizer|scheduler)\}", value)
        repeated = key in before and key not in own_docs
        if passed or built or copied or repeated or (key not in given and key not in own_docs):
            continue
        kind = type_in_words(hints[key]) if key in own_docs and key in hints else ""
        rows.append(
            Row(
                f"{path}.{key}",
                kind,
                _default(value),
                comments.get(key, "") if key not in own_docs and key in comments else meanings.get(key, ""),
            )
        )
    shown |= {(path, _name(owner)) for owner in owners}
    if rows:
        yield Part(path, name, rows)


def _meanings_elsewhere(lineage: Sequence[Any]) -> dict[str, str]:
    """What other projects say of their arguments, one sentence each: they document the rest themselves."""
    told: dict[str, str] = {}
    for owner in reversed(lineage):
        if owner.__module__.startswith("detection.") or owner is object:
            continue
        of_init = documented(owner.__init__) if inspect.isclass(owner) else {}
        for key, meaning in (documented(owner) | of_init).items():
            told[key] = (
                re.split(r"(?<=\w)\.(?=\s|$)| \(default:|\s*``?Default``?:", meaning)[0].rstrip(".") + "."
            )
    return told


def _targets(content: Any, path: str) -> Iterator[str]:
    """The places of all constructors that a file names, outermost first."""
    if isinstance(content, dict):
        if "_target_" in content:
            yield path
        for key, value in content.items():
            if key != "defaults":
                yield from _targets(value, f"{path}.{key}".lstrip("."))


def _composed(group: str, name: str) -> Any:
    """The configuration of a training with this file."""
    choice = {
        "callbacks": "callbacks=[default]" if name == "default" else f"callbacks=[default,{name}]",
        "logger": f"logger=[{name}]",
    }.get(group, f"{group}={name}")
    with configurations():
        return compose("train", [choice, "+hydra.runtime.output_dir=runs/x"], return_hydra_config=True)


def _package(group: str, text: str) -> str:
    found = re.match(r"# @package (\S+)", text)
    if found is None:
        return group.replace("/", ".")
    return "" if found[1] == "_global_" else found[1]


def _comments(group: str, name: str) -> dict[str, str]:
    """What stands behind the keys of a file and of the files that it begins with."""
    told: dict[str, str] = {}
    text = (CONF / group / f"{name}.yaml").read_text()
    for base in (yaml.safe_load(text) or {}).get("defaults", []):
        if isinstance(base, str) and base != "_self_" and (CONF / group / f"{base}.yaml").exists():
            told |= _comments(group, base)
    for line in text.splitlines():
        found = re.match(r"\s*(\w+):.*?\s#\s(.*)", line)
        if found:
            told[found[1]] = found[2]
    return told


def _head(text: str) -> str:
    """The comment at the head of a file, without Hydra's own line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("# "))
    return " ".join(lines)


def _without_head(text: str) -> list[str]:
    lines = text.splitlines()
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return lines


def _imported(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _hints(constructor: Callable[..., Any]) -> dict[str, Any]:
    if inspect.isclass(constructor) and not hasattr(constructor, "__dataclass_fields__"):
        constructor = constructor.__init__
    try:
        return typing.get_type_hints(constructor, include_extras=True)
    except NameError:  # a name that is imported for type checkers only
        return {}


def _fields(kind: type) -> list[Any]:
    return list(fields(kind)) if hasattr(kind, "__dataclass_fields__") else []


def _name(owner: Any) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


def _default(value: Any) -> str:
    return "" if value in (MISSING, inspect.Parameter.empty) else _written(value)


def _written(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if value == "???":
        return "required"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    return str(value)


def _range(bound: Interval) -> str:
    low, high = f"above {bound.gt:g}" if bound.ge is None else f"{bound.ge:g}", bound.le
    if bound.ge is None:
        return low if not isinstance(high, int | float) else f"{low}, up to {high:,g}"
    return f"{low} or more" if not isinstance(high, int | float) or high >= 100_000 else f"{low} to {high:,g}"
