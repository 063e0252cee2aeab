"""What the commands share: mistyped keys get a hint, configurations are checked before anything runs."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from detection.config import check_config, suggest_keys

if TYPE_CHECKING:
    import pytorch_lightning as pl

CONF = Path(__file__).parent.parent / "conf"


def run_with_hints(main: Callable[[], Any], config_name: str = "train") -> None:
    """Run a ``@hydra.main`` command; when Hydra refuses an override, name the key that was likely meant.

    Args:
        main: the command.
        config_name: its primary configuration.
    """
    try:
        main()
    except SystemExit as stop:
        if stop.code == 1:
            for hint in _override_hints(config_name):
                print(hint, file=sys.stderr)
        raise


def _override_hints(config_name: str) -> list[str]:
    """A line for each KEY=VALUE of the command line whose key is in no configuration."""
    words = [word for word in sys.argv[1:] if "=" in word and not word.startswith(("-", "+", "~", "hydra"))]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        # Groups change which keys exist (data=shapes), plain keys do not.
        groups = [word for word in words if (CONF / word.split("=")[0]).is_dir()]
        try:
            cfg = compose(config_name, overrides=groups)
        except Exception:  # the group itself is at fault, and Hydra listed the choices already
            return []
    config = _plain(cfg)
    keys = [word.split("=")[0] for word in words if word not in groups]
    unknown = [key for key in keys if not _has_key(config, key)]
    return [
        f"{key}: no such key; did you mean {' or '.join(near)}?"
        for key in unknown
        if (near := suggest_keys(key, config))
    ]


def _has_key(config: Any, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(config, dict) or key not in config:
            return False
        config = config[key]
    return True


def checked_config(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a configuration and check every node against the constructor it names.

    Raises:
        SystemExit: with all errors, one per line, when there are any.
    """
    missing = OmegaConf.missing_keys(cfg)
    errors = [f"{key}: needs a value ({key}=...)" for key in sorted(missing)]
    config = _plain(cfg, resolve=not errors)
    if not errors:
        checked = dict(config)
        if "model" in config:
            # The data decides the class names; they are filled in once it has been read.
            checked["model"] = {**config["model"], "class_names": []}
        errors = check_config(checked)
        # The model holds copies of these two, and one mistake need not be reported twice.
        errors = [error for error in errors if not error.startswith(("model.optimizer", "model.scheduler"))]
        errors += _unsupported(config)
    if errors:
        raise SystemExit("\n".join(["The configuration has errors; nothing was run.", *errors]))
    return config


def _unsupported(config: dict[str, Any]) -> list[str]:
    sweeping = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeping and config.get("trainer", {}).get("devices", 1) not in (1, "1", [0]):
        # Lightning would start the other processes with this command line: each would run the whole sweep.
        return ["trainer.devices: a sweep (-m) runs on one device; set trainer=cpu or trainer.devices=1"]
    return []


@contextmanager
def errors_in_a_sentence() -> Iterator[None]:
    """End the program with the message of a user's mistake: data, weights, missing packages.

    The traceback is there for the asking, by HYDRA_FULL_ERROR=1.

    Raises:
        SystemExit: with the message.
    """
    try:
        yield
    except (InstantiationException, ValueError, OSError, ImportError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        mixed_builds = "torchvision::nms does not exist" in str(cause)
        mistake = isinstance(cause, ValueError | OSError | ImportError) or mixed_builds
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or not mistake:
            raise
        if mixed_builds:
            raise SystemExit(
                "torch and torchvision are from different builds: install both from one package index."
            ) from error
        raise SystemExit(f"{cause}") from error


def _plain(cfg: DictConfig, resolve: bool = False) -> dict[str, Any]:
    config = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def quieten_lightning() -> None:
    """Drop what Lightning says that is not about the user's run."""
    # The CSV logger fears for the files in its folder, which is the run's own folder on purpose.
    warnings.filterwarnings("ignore", "Experiment logs directory")
    warnings.filterwarnings("ignore", ".*is deprecated", module="pytorch_lightning.utilities._pytree")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()  # an advertisement
    )


def inference_config(data: dict[str, Any]) -> dict[str, Any]:
    """The part of the data's configuration that a checkpoint needs to make inputs of images."""
    return {key: data[key] for key in ("size", "eval_transform", "collate")}


def save_config(config: dict[str, Any], folder: str, trainer: "pl.Trainer") -> None:
    """Write the resolved configuration to ``config.yaml`` and to every logger that keeps it elsewhere."""
    from pytorch_lightning.loggers import CSVLogger

    if trainer.is_global_zero:
        OmegaConf.save(OmegaConf.create(config), Path(folder) / "config.yaml")
    for logger in trainer.loggers:
        if not isinstance(logger, CSVLogger):
            logger.log_hyperparams(config)
