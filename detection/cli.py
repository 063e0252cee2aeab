"""What the commands share: mistyped keys get a hint, configurations are checked before anything runs."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from detection.data.step_size import keep_one_size
from detection.description import DATA_KEYS
from detection.endings import end_if_told, hear_signals, stopped_by
from detection.files import write_text
from detection.processes import agree_on_start, end_with_the_first, started_elsewhere
from detection.quoting import quote_paths, refuse_dashes, take_run_dir
from detection.registry import load_plugins
from detection.runs import run_folder
from detection.streams import make_output_last
from detection.suggestions import successor, suggest_keys

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from detection.data.datamodule import DetectionDataModule
    from detection.tasks.base import DetectionTask

CONF = Path(__file__).parent.parent / "conf"

_HAVE_RUN_DIR = ("train", "evaluate", "check", "benchmark")

OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)


def run_with_hints(main: Callable[[], Any], config_name: str = "train") -> None:
    """Run a ``@hydra.main`` command; when Hydra refuses an override, name the key that was likely meant.

    Paths need no quotes of Hydra's. The command outlives the readers of its output, and ends by Ctrl-C or
    SIGTERM with a sentence (:mod:`detection.endings`).

    Args:
        main: the command.
        config_name: its primary configuration.
    """
    make_output_last()
    hear_signals()
    end_with_the_first()
    try:
        refuse_dashes()
        if config_name in _HAVE_RUN_DIR:
            take_run_dir()
        quote_paths()
        _share_registry()
        agree_on_start()
        _offer_sweepers()
        main()
    except SystemExit as stop:
        if stop.code == 1 and not stopped_by():
            for hint in _override_hints(config_name):
                print(hint, file=sys.stderr)
        raise
    finally:
        end_if_told()


def _share_registry() -> None:
    """Spare Hydra a copy of all registered configurations for each group that ``--help`` lists.

    There is one registry, which is only read: half of the time of ``--help`` went into copies of it.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def _offer_sweepers() -> None:
    """Let Hydra find our sweeper, in this process and in those that a launcher starts."""
    folder = str(Path(__file__).parent / "sweeps/plugins")
    sys.path.append(folder)
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([others, folder] if others else [folder])


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
    hints = []
    for key in keys:
        if _has_key(config, key):
            continue
        near = suggest_keys(key, config)
        if now := successor(key):
            hints.append(f"{key}: no such key; {now}")
        elif near:
            hints.append(f"{key}: no such key; did you mean {' or '.join(near)}?")
    return hints


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
    # Takes a while: --help and mistyped keys do not wait for it.
    from detection.config import check_config

    missing = OmegaConf.missing_keys(cfg)
    errors = [f"{key}: needs a value ({key}=...)" for key in sorted(missing)]
    config = _plain(cfg, resolve=not errors)
    try:
        load_plugins(config.get("plugins") or ())
    except ValueError as error:
        errors.append(str(error))
    if not errors:
        checked = dict(config)
        if "model" in config:
            # The data decides the class names; they are filled in once it has been read.
            checked["model"] = model_config(config, class_names=[], batch_size=None)
            checked["optimizer"] = checked["model"]["optimizer"]
            if not isinstance(config["optimizer"]["scale_lr"], bool):
                errors.append("optimizer.scale_lr: expected bool, true or false")
        errors += check_config(checked)
        # The model holds copies of what stands elsewhere, and one mistake need not be reported twice.
        copies = ("model.optimizer", "model.scheduler", "model.network.size:")
        errors = [error for error in errors if not error.startswith(copies)]
        if "trainer" in config:
            errors += started_elsewhere(config["trainer"])
        if not errors and "trainer" in config:
            errors += _never_validated(config["trainer"])
        errors += keep_one_size(config.get("data", {}), typed_overrides())
    if errors:
        raise SystemExit("\n".join(["The configuration has errors; nothing was run.", *errors]))
    return config


def typed_overrides() -> list[str]:
    """What the user has typed, as ``KEY=VALUE``; nothing where no command runs."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _never_validated(trainer: dict[str, Any]) -> list[str]:
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")  # other verbs have none
    if every is None or epochs is None or not 0 < epochs < every:
        return []
    return [
        f"trainer.check_val_every_n_epoch={every} with trainer.max_epochs={epochs}: nothing would be "
        "validated, so there would be no best checkpoint to test"
    ]


def model_config(config: dict[str, Any], class_names: list[str], batch_size: int | None) -> dict[str, Any]:
    """What the task is made from.

    Args:
        config: the whole configuration.
        class_names: in label order.
        batch_size: images per optimizer step over all devices. With ``optimizer.scale_lr`` the learning rate
            grows with it, from ``optimizer.lr`` at ``optimizer.base_batch_size`` (Goyal et al., 2017).
    """
    rule = {"scale_lr", "base_batch_size"}
    optimizer = {key: value for key, value in config["optimizer"].items() if key not in rule}
    if batch_size is not None:
        optimizer["lr"] *= lr_scale(config, batch_size)
    return {**config["model"], "optimizer": optimizer, "class_names": class_names}


def lr_scale(config: dict[str, Any], batch_size: int) -> float:
    """The factor of ``optimizer.scale_lr`` on the learning rate for so many images per step, 1 without it."""
    scaled, base = config["optimizer"]["scale_lr"], config["optimizer"]["base_batch_size"]
    return batch_size / base if scaled else 1.0


def describe_lr(config: dict[str, Any], batch_size: int) -> str:
    """A line for the user where the learning rate is another one than was typed; else nothing."""
    lr, base = config["optimizer"]["lr"], config["optimizer"]["base_batch_size"]
    scale = lr_scale(config, batch_size)
    told = f"optimizer.lr={lr:g} x {batch_size} images per step / {base} (optimizer.scale_lr)"
    return f"The learning rate: {lr * scale:.3g} = {told}." if config["optimizer"]["scale_lr"] else ""


@contextmanager
def errors_in_a_sentence() -> Iterator[None]:
    """End the program with the message of a user's mistake: data, weights, missing packages.

    The traceback is there for the asking, by HYDRA_FULL_ERROR=1.

    Raises:
        SystemExit: with the message.
    """
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        mixed_builds = "torchvision::nms does not exist" in str(cause)
        # Lightning's own kind cannot be imported before it is needed.
        misconfigured = type(cause).__name__ == "MisconfigurationException"
        mistake = isinstance(cause, ValueError | OSError | ImportError) or mixed_builds or misconfigured
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or not mistake:
            raise
        if mixed_builds:
            raise SystemExit(
                "torch and torchvision are from different builds: install both from one package index."
            ) from error
        raise SystemExit(f"{cause}") from error


def _plain(cfg: DictConfig | ListConfig, resolve: bool = False) -> dict[str, Any]:
    config = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def make_trainer(config: dict[str, Any]) -> "pl.Trainer":
    """Make the trainer with its callbacks and loggers; alone, without either, to look for settings."""
    from detection.callbacks.own_signals import keep_own_signals

    if config["find"]:
        from detection.tuning import TRAINER

        trainer: pl.Trainer = instantiate(config["trainer"], **TRAINER)
        keep_own_signals(trainer)
        return trainer
    callbacks = [instantiate(callback) for callback in config["callbacks"].values()]
    loggers = [instantiate(logger) for logger in config["logger"].values()]
    complete: pl.Trainer = instantiate(config["trainer"], callbacks=callbacks, logger=loggers)
    keep_own_signals(complete)
    return complete


def make_data_and_task(config: dict[str, Any]) -> "tuple[DetectionDataModule, DetectionTask]":
    """Make the data, ready to be loaded, and a new task for its classes: what is measured and compared."""
    datamodule: DetectionDataModule = instantiate(config["data"])
    datamodule.prepare_data()
    datamodule.setup()
    task: DetectionTask = instantiate(model_config(config, datamodule.class_names, None))
    if datamodule.targets_in_workers:
        datamodule.assign = task.assigner(datamodule.size)
    return datamodule, task


def inference_config(data: dict[str, Any]) -> dict[str, Any]:
    """The part of the data's configuration that a checkpoint needs to make inputs of images."""
    return {key: data[key] for key in DATA_KEYS}


def save_config(config: dict[str, Any], folder: str, trainer: "pl.Trainer") -> None:
    """Write the resolved configuration to ``config.yaml`` and to every logger that keeps it elsewhere."""
    from pytorch_lightning.loggers import CSVLogger

    if trainer.is_global_zero:
        write_text(Path(folder) / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    for logger in trainer.loggers:
        if not isinstance(logger, CSVLogger):
            logger.log_hyperparams(config)
