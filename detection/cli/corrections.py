"""Values of a composed configuration that are nearly right: read as what was meant, and the user is told."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detection.checkpoints.runs import checkpoint_of_run
from detection.cli.words import note_reading
from detection.validation.configuration import Mistake
from detection.validation.near_paths import as_found
from detection.validation.values import typed

# What is read, and so has to be there.
_READ = (
    "init_from",
    "source",
    "images",
    "root",
    "data.root",
    "data.archive_folder",
    "model.backbone.weights",
)


def correct_paths(cfg: DictConfig, verb: str) -> None:
    """Take a path that is there but for the case of its letters, and of a run's folder its best checkpoint.

    ``ckpt=last`` and ``ckpt=best`` are those of the newest run.

    Args:
        cfg: the configuration, which is changed.
        verb: the command: train, predict and so on.
    """
    takes_run = ("predict", "evaluate", "export", "serve", "share")
    for key in (*_READ, *(["ckpt"] if verb in takes_run else [])):
        value = OmegaConf.select(cfg, key, throw_on_missing=False)
        if not isinstance(value, str) or (key == "data.root" and is_written(cfg.data)):
            continue
        found = as_found(value)
        if key == "ckpt":
            best = checkpoint_of_run(found or value)
            found = str(best) if best else found
        if found is not None:
            note_reading(f"{key}={value}", f"{key}={found}")
            OmegaConf.update(cfg, key, found)


def correct_values(cfg: DictConfig, mistakes: Sequence[Mistake]) -> bool:
    """Put the readings of values in their places.

    Args:
        cfg: the configuration, which is changed.
        mistakes: what is wrong with it.

    Returns:
        Whether something was changed.
    """
    readings = [mistake for mistake in mistakes if mistake.meant and not is_copy(cfg, mistake.path)]
    for mistake in readings:
        note_reading(
            f"{mistake.path}={typed(OmegaConf.select(cfg, mistake.path))}",
            f"{mistake.path}={typed(mistake.meant[0])}",
        )
        OmegaConf.update(cfg, mistake.path, mistake.meant[0])
    return bool(readings)


def is_copy(cfg: DictConfig, path: str) -> bool:
    """Whether a value comes from another key of the configuration.

    Args:
        cfg: the configuration.
        path: the dotted path of the value.
    """
    node = cfg
    for part in path.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return True  # of a list, or filled in
        if OmegaConf.is_interpolation(node, part):
            return True
        node = node[part]
    return False


def is_written(data: Mapping[str, Any] | DictConfig) -> bool:
    """Whether data is drawn or fetched where ``data.root`` says, which may take minutes."""
    return bool(data.get("download")) or "num_train" in data
