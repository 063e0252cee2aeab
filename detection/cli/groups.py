"""The groups of ``conf``, from which a command chooses files: ``model=ssd``, ``model/backbone=resnet50``."""

import re

from detection.system.programs import CONF


def is_group(key: str) -> bool:
    """Whether a key chooses a file.

    Args:
        key: such as ``model/backbone``.
    """
    return bool(re.fullmatch(r"\w+(/\w+)*", key)) and not key.startswith("hydra") and (CONF / key).is_dir()


def options(group: str) -> list[str]:
    """What a group offers.

    Args:
        group: its key.
    """
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def groups() -> list[str]:
    """The keys of all groups."""
    keys = [path.relative_to(CONF).as_posix() for path in sorted(CONF.rglob("*")) if path.is_dir()]
    return [key for key in keys if is_group(key)]


def compact(name: str) -> str:
    """A name without what is easily mistaken in it: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name).casefold()
