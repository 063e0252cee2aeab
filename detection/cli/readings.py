"""Words that Hydra has refused: what each of them means here, or what to type instead."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf

from detection.cli.hydra_versions import configurations
from detection.cli.other_tools import groups, is_group, options, read_as
from detection.cli.words import SEVERAL, apart, note_reading, own_folders, with_default
from detection.system.processes import CONF
from detection.validation.configuration import argument_names
from detection.validation.other_words import compact, told
from detection.validation.suggestions import dotted_keys, successor, suggest_keys

# The words to read instead, or a sentence that says what to type; None where nothing is wrong.
Answer = list[str] | str | None


def read_again(words: Sequence[str], error: Exception, verb: str) -> list[str]:
    """Find in a refused command line the words that were meant.

    Args:
        words: those behind the program's name.
        error: Hydra's.
        verb: the command: train, predict and so on.

    Returns:
        A command line in which each wrong word is replaced by its one sensible reading; the user is told.

    Raises:
        SystemExit: a word has no such reading; the message says what to type.
    """
    settings, flags = apart(words)
    several = bool({"-m", "--multirun"} & set(flags))
    own = own_folders(words)
    # Which keys there are depends on the groups, so these come first.
    answers = {word: _read_form(word, several) or _read_choice(word, error, verb, own) for word in settings}
    if not any(answers.values()):
        config, chosen = _composed(settings, own, verb)
        words = [word for word in settings if _parts(word)[1] not in chosen]
        answers = dict.fromkeys(settings) | {word: _read_key(word, config, verb, several) for word in words}
    sentences = [answer for answer in answers.values() if isinstance(answer, str)]
    if sentences:
        raise SystemExit("\n".join(sentences))
    if not any(answer is not None for answer in answers.values()):
        raise SystemExit(_told_by_hydra(error))
    read = []
    for word, answer in answers.items():
        if isinstance(answer, list):
            note_reading(word, " ".join(answer))
        read += answer if isinstance(answer, list) else [word]
    return [*read, *flags]


def unknown_key(key: str, value: str, config: Mapping[str, Any], verb: str) -> Answer:
    """What a key means that a configuration does not have.

    Args:
        key: dotted.
        value: as it was typed.
        config: the whole configuration.
        verb: the command.
    """
    if now := successor(key):
        return f"{key}: no such key; {now}"
    if (read := read_as(verb, key, value)) is not None:
        return read
    if answer := told(verb, key):
        return f"{key}: no such key; {answer}"
    # Its constructor has a default for it, which no file of ours repeats. Importing it takes seconds: not for
    # a slip of the fingers.
    if not suggest_keys(key, config, 0.9) and _is_argument(key, config):
        return [f"+{key}={value}"]
    same = [known for known in dotted_keys(config) if known.casefold() == key.casefold().replace("-", "_")]
    if "." not in key and not same:
        homes = [group for group in groups() if group.rpartition("/")[2] == key and _has(config, group)]
        homes += [known for known in dotted_keys(config) if known.rpartition(".")[2] == key]
        # The model's optimizer and schedule are copies of the configuration's own.
        same = [home for home in homes if not home.startswith(("model.optimizer", "model.scheduler"))]
        same = [home for home in same if "." not in home] or same
    if len(same) == 1:
        return [f"{same[0]}={value}"]
    last = key.rpartition(".")[2]
    if last != key and (answer := told(verb, last)):
        return f"{key}: no such key; {answer}"
    theirs = read_as(verb, last, value) if last != key else None
    near = same[:3] or ([word.partition("=")[0] for word in theirs] if theirs else suggest_keys(key, config))
    return f"{key}: no such key; " + (f"did you mean {' or '.join(near)}?" if near else "--help lists them")


def _is_argument(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a key names an argument of what the node above it builds."""
    parent, _, name = key.rpartition(".")
    node = _value(config, parent) if parent else None
    if not isinstance(node, Mapping) or "_target_" not in node:
        return False
    try:
        return name in argument_names(str(node["_target_"]))
    except Exception:  # importing runs foreign code; what is wrong with it is told where it is used
        return False


def _read_form(word: str, several: bool) -> Answer:
    """A word that Hydra's grammar has no reading for, or one that asks for several runs."""
    key, _, value = word.partition("=")
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return f"{word}: this cannot be read; {_how_to_quote(key, value)}"
    if is_group(key) and isinstance(override.value(), bool | int | float):
        return f"{word}: choose one of {', '.join(options(key))}"
    if not override.is_sweep_override() or several or not is_group(key) or "(" in value:
        return None
    if key in SEVERAL:
        return [f"{key}={with_default(key, f'[{value}]')}"]
    return f"{word}: these are several runs, one for each value: add -m"


def _how_to_quote(key: str, value: str) -> str:
    bare = value.replace('"', "'")
    if value.startswith("[") and value.endswith("]"):
        words = ",".join(f'"{part.strip()}"' for part in bare[1:-1].split(","))
        return f"put each word of the list in quotes, and the whole in others, '{key}=[{words}]'."
    return f"""put the value in two kinds of quotes, '{key}="{bare}"'."""


def _read_choice(word: str, error: Exception, verb: str, own: Sequence[Path]) -> Answer:
    """A word that chooses a file which a group does not have."""
    key, _, value = word.partition("=")
    if not isinstance(error, MissingConfigException) or not is_group(key) or value == "null":
        return None
    chosen = value.strip("[]").split(",")
    is_missing = error.missing_cfg_file in [f"{key}/{each}" for each in chosen]
    known = {compact(option): option for option in (is_missing and error.options) or options(key, own)}
    wrong = [each for each in chosen if each not in known.values()]
    if not wrong:
        return None
    if key == "data" and (Path(value).suffix in (".yaml", ".yml") or "/" in value or Path(value).exists()):
        return _read_data(value)
    if key == "model" and Path(value).suffix in (".ckpt", ".pt", ".pth"):
        return read_as(verb, key, value) or (
            f"{word}: model names a network ({', '.join(known.values())}); init_from={value} starts from "
            f"these weights, ckpt={value} resumes their run."
        )
    if all(compact(each) in known for each in chosen):
        read = ",".join(known[compact(each)] for each in chosen)
        return [f"{key}=[{read}]" if value.startswith("[") else f"{key}={read}"]
    return _choose(word, key, wrong[0], list(known.values()))


def _read_data(value: str) -> Answer:
    if Path(value).suffix in (".yaml", ".yml"):
        return ["data=yolo", f"data.root={value}"]
    if Path(value).is_file():
        folder = Path(value).parent
        typed = shlex.join(["data=auto", f"data.root={folder}"])
        return f"{value}: data names the format and data.root the folder: {typed}."
    return ["data=auto", f"data.root={value}"]


def _choose(word: str, group: str, value: str, known: Sequence[str]) -> str:
    """Name the options of a group that are near, or all of them; and the group that has such an option."""
    folders = (folder for folder in Path.cwd().iterdir() if folder.resolve() != CONF)
    if own := next((folder for folder in folders if (folder / group / f"{value}.yaml").is_file()), None):
        return (
            f"{word}: files of your own need the folder that they are in: "
            f"{shlex.join(['--config-dir', own.name])}"
        )
    others = [other for other in groups() if value in options(other) and other != "data/transform"]
    likely = _near(value, known) + [f"{other}={value}" for other in others]
    if group == "model" and (recipes := _recipes_from(value)):
        likely = recipes
    if not likely and group == "model":
        likely = [f"experiment={name}" for name in _near(value, options("experiment"))]
    if likely:
        return f"{word}: no such {group}; did you mean {' or '.join(likely[:4])}?"
    return f"{word}: no such {group}; choose one of {', '.join(known)}"


def _recipes_from(weights: str) -> list[str]:
    """The recipes that start from a published detector of this name."""
    line = re.compile(rf"^init_from: \S+/{re.escape(weights)}$", re.M)
    recipes = {name: CONF / "experiment" / f"{name}.yaml" for name in options("experiment")}
    return [
        f"experiment={name}"
        for name, path in recipes.items()
        if line.search(path.read_text(encoding="utf-8"))
    ]


def _near(value: str, names: Sequence[str]) -> list[str]:
    known = {compact(name): name for name in names}
    begins = [option for name, option in known.items() if value and name.startswith(compact(value))]
    near = difflib.get_close_matches(compact(value), known, n=3, cutoff=0.65)
    return begins[:3] or [known[name] for name in near]


def _read_key(word: str, config: Mapping[str, Any], verb: str, several: bool) -> Answer:
    """A word whose key no configuration has, or not in this way."""
    prefix, key, value = _parts(word)
    if key.startswith("hydra"):
        return None
    for name in re.findall(r"\$\{([\w.]+)\}", value):
        if not _has(config, name) and not name.startswith("hydra"):
            return f"{word}: there is no key {name} to refer to."
    if _has(config, key):
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override() and not several and "(" not in value:
            return _read_list(key, value, _value(config, key))
        return [f"{key}={value}"] if prefix == "+" else None
    if prefix in ("+", "++") and "." in key and _has(config, key.partition(".")[0]):
        return None  # new where it may be
    if prefix == "~":
        return f"{word}: there is no {key} to leave out."
    return unknown_key(key, value, config, verb)


def _read_list(key: str, value: str, default: Any) -> Answer:
    # Of evaluate, split is a word; of convert, it is several shares.
    shares = key == "split" and all(re.fullmatch(r"[\d.]+", part.strip()) for part in value.split(","))
    is_list = isinstance(default, list) or key.rpartition(".")[2] == "classes" or shares
    if is_list:
        return [f"{key}=[{value}]"]
    return f"{key}={value}: these are several runs, one for each value: add -m"


def _parts(word: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([~+]*)([^=]*)=?(.*)", word, re.S)
    assert match is not None
    return match[1], match[2], match[3]


def _composed(
    settings: Sequence[str], own: Sequence[Path], verb: str
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The configuration with the chosen files and nothing else, and the groups that the command has."""
    chosen = [word for word in settings if is_group(word.partition("=")[0]) and "," not in word]
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in own)}]"] if own else []
    with configurations():
        try:
            cfg = compose(verb, overrides=[*chosen, *search], return_hydra_config=True)
        except HydraException:  # a group that this command does not have
            cfg = compose(verb, return_hydra_config=True)
    config = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(config, dict)
    hydra = config.pop("hydra")
    choices = hydra["runtime"]["choices"]
    # Some groups, such as experiment, are no part of the configuration, yet may be what was meant.
    return {**{key: None for key in choices if is_group(key)}, **config}, choices


def _has(config: Mapping[str, Any], key: str) -> bool:
    return _value(config, key, missing := object()) is not missing


def _value(config: Any, key: str, missing: Any = None) -> Any:
    for part in re.split(r"[./]", key):
        if not isinstance(config, Mapping) or part not in config:
            return missing
        config = config[part]
    return config


def _told_by_hydra(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{(lines[0] if lines else type(error).__name__).rstrip('.')}; --help lists what can be set."
