"""The words of a command line in the form that Hydra reads: ``KEY=VALUE``, and its flags behind them.

Words of another form that can mean one thing only are read so, and the user is told.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from detection.cli.other_tools import groups, is_group, options, value_read_as
from detection.system.processes import is_first

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
_NUMBER = r"[-+]?\d[\d.e+-]*"
_KEY = r"[~+]{0,2}[A-Za-z][\w./@-]*"
_DASHES = re.compile(r"[-\u2013\u2014]{1,2}([A-Za-z][\w./@-]*)(=.*)?", re.S)
_QUOTES = "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019"  # what word processors and web pages make of quotes
# The keys that a word without one may belong to.
_TAKEN = {
    "predict": ("ckpt", "source"), "evaluate": ("ckpt",), "export": ("ckpt",), "serve": ("ckpt",),
    "share": ("ckpt",),
}  # fmt: skip
_EXAMPLES = {
    "train": "data.root=my/set", "check": "data.root=my/set", "benchmark": "data.root=my/set",
    "predict": "ckpt=best.ckpt source=photo.jpg", "evaluate": "ckpt=best.ckpt", "export": "ckpt=best.ckpt",
    "serve": "ckpt=best.ckpt", "share": "ckpt=best.ckpt output=my_detector",
    "convert": "from=voc to=coco root=my/voc out=my/coco",
}  # fmt: skip
_CHECKPOINTS = {".ckpt", ".pt", ".pth"}
SEVERAL = {"callbacks", "logger"}
"""Groups of which several files are chosen."""


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
        names = ("lightning-detection", "hydra-core", "torch")
        print(", ".join(f"{name} {_version(name)}" for name in names))
        raise SystemExit(0)
    settings, flags = apart(words)
    for flag, value in pairwise([*flags, ""]):
        if flag in ("-c", "--cfg") and value not in ("job", "hydra", "all"):
            raise SystemExit(f"{flag} {value}: --cfg job shows the configuration, filled in with --resolve.")
        if flag in _WITH_A_VALUE and value == "":
            raise SystemExit(f"{flag}: it needs a value; --help lists the flags.")
    plain = [_with_plain_value(word, verb) for word in _without_dashes(_joined(settings))]
    return [*_with_mode([*_with_keys(plain, verb)]), *flags]


def _with_mode(settings: list[str]) -> list[str]:
    """Say that a file of ``conf/sweep`` makes several runs, which no such file can say itself in Hydra 1.4.

    The processes of one of these runs have their mode already.
    """
    keys = dict(word.partition("=")[::2] for word in settings)
    sweep = keys.get("sweep", "null") != "null" and "hydra.mode" not in keys
    return [*settings, "hydra.mode=MULTIRUN"] if sweep else settings


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
        if word.startswith("--") and word.partition("=")[0] in _WITH_A_VALUE and "=" in word:
            flags += word.split("=", 1)
            continue
        flags.append(word)
        if rest and (word in _WITH_A_VALUE or (word in ("-i", "--info") and rest[0] in _INFO)):
            flags.append(rest.pop(0))
    return settings, flags


def own_folders(words: Sequence[str]) -> list[Path]:
    """The folders of configuration files of the user's own.

    Args:
        words: of a command line.
    """
    settings, flags = apart(words)
    folders = [after for flag, after in pairwise(flags) if flag in ("-cd", "--config-dir")]
    for word in settings:
        if word.startswith("hydra.searchpath="):
            folders += re.findall(r"file://([^,\]'\"]+)", word)
    return [Path(folder).resolve() for folder in folders]


_readings: dict[str, str] = {}  # what was typed, and how it is read


def note_reading(typed: str, read: str) -> None:
    """Note how a word is read, for :func:`tell_readings`.

    Args:
        typed: by the user, or an earlier reading of that.
        read: instead.
    """
    earlier = [first for first, second in _readings.items() if second == typed]
    _readings[earlier[0] if earlier else typed] = read


def tell_readings() -> None:
    """Tell the user which words are read as others, once for all processes of a run.

    A command line that is refused needs no such lines, so they wait until it is not.
    """
    for typed, read in _readings.items():
        if is_first():
            print(f"{typed} is read as {read}" if read else f"{typed} changes nothing", file=sys.stderr)
    _readings.clear()


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
        spaced = re.fullmatch(rf"({_KEY})\s*=\s*(.*)", word, re.S)
        word, as_typed = (f"{spaced[1]}={spaced[2]}" if spaced else word), word
        begins = word.startswith("=") and re.fullmatch(_KEY, before)
        goes_on = re.fullmatch(rf"{_KEY}=", before) and "=" not in word and not word.startswith("-")
        is_open = "=" in before and any(before.count(a) > before.count(b) for a, b in ("[]", "{}"))
        if is_open and "=" not in word:
            joined[-1] += f" {word}"
            typed[-1] += f" {as_typed}"
        elif begins or goes_on:
            joined[-1] += word
            typed[-1] += f" {as_typed}"
        else:
            joined.append(word)
            typed.append(as_typed)
    for before, word in zip(typed, joined, strict=True):
        if before != word:
            note_reading(before, word)
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
        values = []
        if match[2] is None and rest and "=" not in rest[0] and not _DASHES.fullmatch(rest[0]):
            values.append(rest.pop(0))
            while rest and re.fullmatch(_NUMBER, rest[0]) and re.fullmatch(_NUMBER, values[0]):
                values.append(rest.pop(0))
        value = f"[{','.join(values)}]" if len(values) > 1 else (values or ["true"])[0]
        read = f"{match[1].replace('-', '_')}{match[2] or f'={value}'}"
        note_reading(" ".join([word, *values]), read)
        yield read


def _with_plain_value(word: str, verb: str) -> str:
    """Take typographic quotes, Python's None and tuples, and other tools' values for what they stand for.

    Raises:
        SystemExit: there is no value, as after ``ckpt=$UNSET``.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return word
    if not value.strip() and not is_group(key):  # the choices of a group are listed later
        raise SystemExit(f"{word}: nothing stands behind the equals sign: give a value, or leave {key} out.")
    plain = value.strip(_QUOTES) if value[:1] in _QUOTES else value
    plain = "null" if plain == "None" else plain
    plain = f"[{plain[1:-1]}]" if re.fullmatch(r"\([^()]*\)", plain) else plain  # a tuple of Python's
    plain = value_read_as(verb, key, plain) or plain
    if key in SEVERAL:
        plain = with_default(key, "[]" if plain == "null" else plain)
    group = key.replace(".", "/")
    if group != key and is_group(group) and (plain in options(group) or re.fullmatch(r"[\w-]+", plain)):
        key = group if plain != "null" else key
    read = f"{key}={plain}"
    if read != word:
        note_reading(word, read)
    return read


def with_default(group: str, value: str) -> str:
    """Put ``default`` before callbacks of ours that go beside it: no run is without its best checkpoint.

    Args:
        group: its key.
        value: the choice, one word or a list.
    """
    chosen = [name.strip(" '\"") for name in value.removeprefix("[").removesuffix("]").split(",")]
    several = value.startswith("[") or len(chosen) == 1  # else one run for each
    if group != "callbacks" or not several or not set(chosen) <= set(options(group)) - {"default"}:
        return value
    return f"[{','.join(['default', *chosen])}]"


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
        taken = _TAKEN.get(verb, ())
        if key not in taken or key in given or (not is_checkpoint and not _may_be_a_source(word)):
            raise SystemExit(_without_key(word, words, given, verb))
        given.add(key)
        note_reading(word, f"{key}={word}")
        yield f"{key}={word}"


def _may_be_a_source(word: str) -> bool:
    return word.isdecimal() or bool(Path(word).suffix) or Path(word).expanduser().exists()


def _without_key(word: str, words: Sequence[str], given: set[str], verb: str) -> str:
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
    if is_group(word):
        return f"{word}: settings are KEY=VALUE: {word}= and one of {', '.join(options(word))}."
    if verb == "predict" and "source" in given:
        return f"{word}: one source is taken; several images are a quoted pattern, 'source=photos/*.jpg'."
    if "." in word and after and "=" not in after and not Path(word).exists():
        return f"{word} {after}: settings are KEY=VALUE: {word}={after}."
    if equals:
        return (
            f"{before} {word}: settings are KEY=VALUE; one with spaces is put in quotes, '{before} {word}'."
        )
    if Path(word).expanduser().is_dir() and verb in ("train", "check", "evaluate", "benchmark"):
        return f"{word}: settings are KEY=VALUE: {shlex.join(['data=auto', f'data.root={word}'])}."
    return f"{word}: settings are KEY=VALUE, such as {_EXAMPLES[verb]}; --help lists them."
