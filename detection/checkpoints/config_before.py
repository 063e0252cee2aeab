"""The settings of a checkpoint's run, as its ``config.yaml`` has them, and what has changed since."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from detection.checkpoints.differences import Change, changed_keys

# A resumed run has these anyway, or they are told by what the checkpoint itself says.
_TYPED = (
    "run_dir",
    "ckpt",
    *(f"logger.{it}.{key}" for it in ("wandb", "mlflow") for key in ("overrides", "sweep_dir")),
)
_NOT_COMPARED = (
    *(*_TYPED, "optimizer", "scheduler", "model.optimizer", "model.scheduler"),
    *("callbacks.going_on", "callbacks.how_to_resume", "init_from", "init_reuse"),
    *("callbacks.last", "callbacks.seed_epochs", "callbacks.seed_steps"),
)


SETTINGS = "settings"
"""Under ``training`` of a description: which ``config.yaml`` is that of the checkpoint."""


def config_before(checkpoint: Path, training: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.yaml`` of a checkpoint's run; empty where it is missing, broken, or not the checkpoint's.

    A run that is resumed writes another one, and its best checkpoint may be of a part before.

    Args:
        checkpoint: in the folder of its run.
        training: what it says of its training.
    """
    try:
        then = yaml.safe_load((checkpoint.parent.parent / "config.yaml").read_text(encoding="utf-8"))
        known = training.get(SETTINGS)
        if known is not None and digest_of_settings(then) != known:
            return {}
    except Exception:  # it is only compared, so nothing that may be wrong with it matters
        return {}
    return {str(key): value for key, value in then.items()} if isinstance(then, dict) else {}


def digest_of_settings(config: Mapping[str, Any]) -> str:
    """Tells settings from others, wherever the run lies: 16 hexadecimal digits.

    Args:
        config: the whole configuration, with ``run_dir``.
    """
    anywhere = _in_folder(config, str(config["run_dir"]), "")
    said = {key: value for key, value in _leaves(anywhere) if not _is_in(key, _NOT_COMPARED)}
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _leaves(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _in_folder(value: Any, folder: str, now: str) -> Any:
    """A configuration as it would be in another folder: a run that was moved or copied has not changed."""
    if isinstance(value, Mapping):
        return {key: _in_folder(child, folder, now) for key, child in value.items()}
    if isinstance(value, list):
        return [_in_folder(child, folder, now) for child in value]
    return now + value[len(folder) :] if isinstance(value, str) and value.startswith(folder) else value


def changes_of_config(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What changed since the run's ``config.yaml``, where that could be read."""
    folder = then.get("run_dir")
    if isinstance(folder, str) and folder:
        then = _in_folder(then, folder, str(now["run_dir"]))
    changes = changed_keys(then, now) if then else []
    if "global_batch_size" in then.get("data", {}):  # of 0.1: keys that it did not know are no changes
        changes = [change for change in changes if not change.is_of_one_side]
    return [change for change in changes if not _is_in(change.key, _NOT_COMPARED)]


def _is_in(key: str, nodes: Iterable[str]) -> bool:
    return any(key == node or key.startswith(f"{node}.") for node in nodes)


def words_of_data(checkpoint: str) -> list[str]:
    """The words that name the data of a run; none where the run is not at hand.

    Args:
        checkpoint: in the folder of its run.
    """
    try:
        path = Path(checkpoint).expanduser()
        hydra = yaml.safe_load((path.parents[1] / ".hydra/hydra.yaml").read_text(encoding="utf-8"))
        choices, data = hydra["hydra"]["runtime"]["choices"], config_before(path, {})["data"]
        return [f"data={choices['data']}", f"data.root={data['root']}"]
    except Exception:  # it is only a hint, so nothing that may be wrong with these files matters
        return []
