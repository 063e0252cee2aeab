"""What the folder of a run tells of the detector that it trained."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from detection.system.file_reading import read_text

_LONGEST = 2**20  # bytes of what is read


class Run(NamedTuple):
    """What is known of a training; empty where a detector does not lie in the folder of its run."""

    overrides: list[str]
    """The words of its command."""
    data: str
    """What its set is called: ``voc07``, or ``pets (auto)``."""
    metrics: dict[str, float]
    """Of the test, ``test/map`` and ``test/ap/<class>`` say."""
    tested_on: str
    """Such as ``test, 4952 images``."""
    picture: Path | None
    """A PNG of the images of its last validation, with what was found and what was missed."""


def run_of(ckpt: str) -> Run:
    """Read the folder of the run that a checkpoint lies in.

    The metrics are those of its best checkpoint, and so given of that one alone.

    Args:
        ckpt: a checkpoint, or anything else that is read as one.

    Raises:
        ValueError: a file of the folder cannot be read.
    """
    path = Path(ckpt).expanduser()
    if path.parent.name != "checkpoints":
        return Run([], "", {}, "", None)
    folder = path.parent.parent
    metrics = _json(folder / "metrics.json") if path.name == "best.ckpt" else {}
    picture = folder / "predictions.png"
    return Run(
        overrides=[str(word) for word in _yaml(folder / ".hydra/overrides.yaml", [])],
        data=_data_of(folder),
        metrics={
            name: value for name, value in metrics.items() if type(value) is float and math.isfinite(value)
        },
        tested_on=str(metrics.get("tested_on", "")),
        picture=picture if picture.is_file() else None,
    )


def _data_of(folder: Path) -> str:
    """The configuration of data that was chosen, and of a set of one's own the name of its folder."""
    hydra, config = (_yaml(folder / name, {}) for name in (".hydra/hydra.yaml", "config.yaml"))
    choice = str(_at(hydra, "hydra", "runtime", "choices", "data") or "")
    root = _at(config, "data", "root")
    is_own = choice in ("auto", "voc_custom", "coco", "yolo") and root
    return f"{Path(str(root)).name} ({choice})" if is_own else choice


def _at(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path, _LONGEST)) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _yaml(path: Path, otherwise: Any) -> Any:
    try:
        content = yaml.safe_load(read_text(path, _LONGEST)) if path.is_file() else otherwise
    except yaml.YAMLError as error:
        raise ValueError(f"{path} cannot be read as YAML: {str(error).partition(chr(10))[0]}") from error
    return content if isinstance(content, type(otherwise)) else otherwise
