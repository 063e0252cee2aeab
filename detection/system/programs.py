"""How the commands are started: what a user types, and what a process of ours runs."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_SCRIPT = PACKAGE.parent / "train.py"  # in a copy of the repository, not in an installed package
# A wheel has it inside the package.
CONF = PACKAGE.parent / "conf" if _SCRIPT.is_file() else PACKAGE / "conf"

# The end of every --help; Hydra takes $$ for $ there.
FLAGS = """\
Flags: -m one run for each value of a list; --cfg job --resolve all values; --config-dir a folder with
files of your own; --hydra-help what else Hydra can do. Completion by Tab: eval "$$(detection completion)\""""


def command(verb: str) -> list[str]:
    """The words that start a command: ``python train.py``, or ``detection train`` of an installed package.

    Args:
        verb: train, predict and so on.
    """
    if not _SCRIPT.is_file():
        return ["detection", verb]
    return ["python", "train.py"] if verb == "train" else ["python", "-m", f"detection.{verb}"]


def command_again(program: str) -> list[str]:
    """The words that started this process.

    Args:
        program: ``sys.argv[0]``.
    """
    path = Path(program)
    return command(path.stem) if path.parent == PACKAGE else ["python", program]


def training() -> list[str]:
    """The command line of a training in a process of its own."""
    return [sys.executable, str(_SCRIPT)] if _SCRIPT.is_file() else [sys.executable, "-m", "detection.train"]
