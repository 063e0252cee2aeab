"""What trackers of experiments call a run, and which runs belong together."""

from collections.abc import Sequence
from pathlib import Path

MAX_NAME = 128  # characters; the server of Weights & Biases refuses longer ones

# Overrides that say where things lie or who watches, not what is trained.
_NOT_IN_NAMES = (
    "callbacks",
    "ckpt",
    "data.root",
    "data.num_workers",
    "experiment",
    "logger",
    "name",
    "trainer",
)
_TRAINER_IN_NAMES = ("trainer.max_epochs", "trainer.precision")


def run_name(default_name: str, overrides: Sequence[str], run_dir: str) -> str:
    """Name a run after what the command line changed, or after its folder when that is nothing.

    Args:
        default_name: what the name begins with.
        overrides: the ``KEY=VALUE`` of the command line.
        run_dir: the run's folder.
    """
    changed = [word for word in overrides if _in_names(word.lstrip("+~").partition("=")[0])]
    return " ".join([default_name, *(changed or [Path(run_dir).name])])[:MAX_NAME]


def _in_names(key: str) -> bool:
    is_left_out = any(key == part or key.startswith(f"{part}.") for part in _NOT_IN_NAMES)
    return key in _TRAINER_IN_NAMES or not is_left_out


def sweep_group(run_dir: str, sweep_dir: str | None) -> str | None:
    """The name of the sweep's folder when the run's folder lies inside, else None.

    Args:
        run_dir: the run's folder.
        sweep_dir: the folder that a sweep has, or would have.
    """
    if sweep_dir and Path(sweep_dir).resolve() in Path(run_dir).resolve().parents:
        return Path(sweep_dir).name
    return None
