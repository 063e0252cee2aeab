"""The groups of ``conf``, and our readings of other tools' words on the command line.

A word that can mean one thing only is read as ours; for the others there is a sentence.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from detection.system.processes import CONF
from detection.validation.other_words import READ_AS, VALUES, find


def is_group(key: str) -> bool:
    """Whether a key chooses a file.

    Args:
        key: such as ``model/backbone``.
    """
    return bool(re.fullmatch(r"\w+(/\w+)*", key)) and not key.startswith("hydra") and (CONF / key).is_dir()


def options(group: str, own: Sequence[Path] = ()) -> list[str]:
    """What a group offers.

    Args:
        group: its key.
        own: folders of the user's own, see `own_folders`.
    """
    return sorted({path.stem for folder in (CONF, *own) for path in (folder / group).glob("[!_]*.yaml")})


def groups() -> list[str]:
    """The keys of all groups."""
    keys = [path.relative_to(CONF).as_posix() for path in sorted(CONF.rglob("*")) if path.is_dir()]
    return [key for key in keys if is_group(key)]


def read_as(verb: str, key: str, value: str) -> list[str] | None:
    """The words of ours for another tool's, where there is one thing that they can mean.

    Args:
        verb: the command: train, predict and so on.
        key: what no configuration of the command has.
        value: as it was typed.
    """
    if key == "device" and verb in ("train", "evaluate", "benchmark"):
        return _device(value)
    if key == "resume" and verb == "train":
        return {"true": ["ckpt=last"], "false": []}.get(value.casefold(), [f"ckpt={value}"])
    if is_group(key) and value in options(key):
        return None
    ours = find(READ_AS[verb], key)
    return [f"{ours}={value}"] if ours else None


def value_read_as(verb: str, key: str, value: str) -> str | None:
    """Our value for another tool's.

    Args:
        verb: the command.
        key: a key of ours.
        value: as it was typed.
    """
    if verb in ("predict", "serve") and key == "device":
        return f"cuda:{value}" if value.isdecimal() else {"gpu": "cuda"}.get(value)
    return find(VALUES.get(key, {}), value)


def _device(value: str) -> list[str] | None:
    if value in ("cpu", "mps", "auto"):
        return [f"trainer.accelerator={value}"]
    if value in ("cuda", "gpu"):
        return ["trainer.accelerator=gpu"]
    numbers = re.findall(r"\d+", value)
    if not re.fullmatch(r"(cuda:)?\d+|\[?\d+(,\d+)*\]?", value):
        return None
    strategy = ["trainer.strategy=ddp"] if len(numbers) > 1 else []
    return ["trainer.accelerator=gpu", *strategy, f"trainer.devices=[{','.join(numbers)}]"]
