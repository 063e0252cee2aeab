"""The words of a command line in the form that Hydra reads: ``KEY=VALUE``, and its flags behind them.

Words of another form that can mean one thing only are read so, and the user is told.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from detection.groups import groups, is_group, options
from detection.other_tools import value_read_as
from detection.processes import is_first

_SWITCHES = {
    "-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run", "-m", "--multirun", "-sc",
    "--shell-completion", "-i", "--info", "-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn",
    "--config-name", "-cd", "--config-dir", "--experimental-rerun",
}  # fmt: skip
_WITH_A_VALUE = {
    "-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir",
    "--experimental-rerun",
}  # fmt: skip
_INFO = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
_KEY = r"[~+]{0,2}[A-Za-z][\w./@-]*"
_DASHES = re.compile(r"[-\u2013\u2014]{1,2}([A-Za-z][\w./@-]*)(=.*)?", re.S)
_QUOTES = "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019"  # what word processors and web pages make of quotes
_CHECKPOINTS = {".ckpt", ".pt", ".pth"}


def plain_words(words: Sequence[str], verb: str) -> list[str]:
    """Bring the words of a command line into the form that Hydra reads.

    Args:
        words: those behind the program's name.
        verb: the command: train, predict and so on.

    Raises:
        SystemExit: a word has no sensible reading; or the version was asked for.
    """
    if {"-h", "--help"} & set(words) or list(words) == ["help"]:
        return ["--help"]  # whatever else was typed may be why
    if "--version" in words or list(words) == ["version"]:
        print(
            ", ".join(f"{name} {_version(name)}" for name in ("lightning-detection", "hydra-core", "torch"))
        )
        raise SystemExit(0)
    settings, flags = apart(words)
    plain = [_with_plain_value(word, verb) for word in _without_dashes(_joined(settings))]
    return [*_with_keys(plain, verb), *flags]


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take Hydra's flags, with their values, from among the settings; it takes them at one end only.

    Args:
        words: of a command line.
    """
    settings, flags, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        if word.partition("=")[0] not in _SWITCHES:
            settings.append(word)
            continue
        flags.append(word)
        if rest and (word in _WITH_A_VALUE or (word in ("-i", "--info") and rest[0] in _INFO)):
            flags.append(rest.pop(0))
    return settings, flags


def say_reading(typed: str, read: str) -> None:
    """Tell the user how a word is read, once for all processes of a run.

    Args:
        typed: by the user.
        read: instead.
    """
    if is_first():
        print(f"{typed} is read as {read}" if read else f"{typed} changes nothing", file=sys.stderr)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a copy of the project that nobody has installed
        return "(not installed)"


def _joined(words: Sequence[str]) -> list[str]:
    """Join what has spaces around its equals sign, ``key = value``, or in its list, ``key=[a, b]``."""
    joined: list[str] = []
    typed: list[str] = []  # the words of each
    for word in words:
        before = joined[-1] if joined else ""
        begins = word.startswith("=") and re.fullmatch(_KEY, before)
        goes_on = re.fullmatch(rf"{_KEY}=", before) and "=" not in word and not word.startswith("-")
        is_open = "=" in before and any(before.count(a) > before.count(b) for a, b in ("[]", "{}"))
        if begins or goes_on or is_open:
            joined[-1] += word
            typed[-1] += f" {word}"
        else:
            joined.append(word)
            typed.append(word)
    for before, word in zip(typed, joined, strict=True):
        if before != word:
            say_reading(before, word)
    return joined


def _without_dashes(words: Sequence[str]) -> Iterator[str]:
    """Read ``--optimizer.lr=0.1``, ``--batch-size 8`` and ``--amp``, as others and W&B's agent write."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = _DASHES.fullmatch(word)
        if match is None:
            yield word
            continue
        key, value, typed = match[1].replace("-", "_"), match[2], word
        if value is None and rest and "=" not in rest[0] and not _DASHES.fullmatch(rest[0]):
            typed, value = f"{word} {rest[0]}", f"={rest.pop(0)}"
        read = f"{key}{value or '=true'}"
        say_reading(typed, read)
        yield read


def _with_plain_value(word: str, verb: str) -> str:
    """Take typographic quotes, Python's None and other tools' names of values for what they stand for."""
    key, equals, value = word.partition("=")
    if not equals:
        return word
    plain = value.strip(_QUOTES) if value[:1] in _QUOTES else value
    plain = "null" if plain == "None" else plain
    plain = value_read_as(verb, key, plain) or plain
    group = key.replace(".", "/")
    if group != key and is_group(group) and (plain in options(group) or re.fullmatch(r"[\w-]+", plain)):
        key = group if plain != "null" else key
    read = f"{key}={plain}"
    if read != word:
        say_reading(word, read)
    return read


def _with_keys(words: Sequence[str], verb: str) -> Iterator[str]:
    """Give the words that have no key the one that they can belong to."""
    given = {word.partition("=")[0] for word in words}
    bare = [word for word in words if "=" not in word and not word.startswith("~")]
    for word in words:
        if word not in bare:
            yield word
            continue
        is_checkpoint = Path(word).suffix in _CHECKPOINTS or word.startswith(("torchvision/", "tensorflow/"))
        key = "ckpt" if is_checkpoint else "source"
        taken = {"predict": ("ckpt", "source"), "evaluate": ("ckpt",), "export": ("ckpt",)}.get(verb, ())
        if key not in taken or key in given or (not is_checkpoint and not _may_be_a_source(word)):
            raise SystemExit(_without_key(word, words, given, taken))
        given.add(key)
        say_reading(word, f"{key}={word}")
        yield f"{key}={word}"


def _may_be_a_source(word: str) -> bool:
    return word.isdecimal() or bool(Path(word).suffix) or Path(word).expanduser().exists()


def _without_key(word: str, words: Sequence[str], given: set[str], taken: Sequence[str]) -> str:
    """What to type in the place of a word without a key."""
    index = words.index(word)
    before, after = words[index - 1] if index else "", words[index + 1] if index + 1 < len(words) else ""
    _, equals, value = before.partition("=")
    if equals and Path(f"{value} {word}").expanduser().exists():
        return f"{before} {word}: a path with spaces is put in quotes, '{before} {word}'."
    if match := re.fullmatch(rf"({_KEY}):(\S+)", word):
        return f"{word}: settings are KEY=VALUE: {match[1]}={match[2]}."
    homes = [group for group in groups() if word in options(group)]
    if homes:
        return f"{word}: settings are KEY=VALUE: {' or '.join(f'{group}={word}' for group in homes)}."
    if "source" in taken and "source" in given:
        return f"{word}: one source is taken; several images are a quoted pattern, 'source=photos/*.jpg'."
    if "." in word and after and "=" not in after and not Path(word).exists():
        return f"{word} {after}: settings are KEY=VALUE: {word}={after}."
    example = "data.root=my/set" if not taken else "ckpt=best.ckpt"
    return f"{word}: settings are KEY=VALUE, such as {example}; --help lists them."
