"""What the commands share: configurations are checked before anything runs, and faults end in a sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detection.checkpoints.description import DATA_KEYS
from detection.checkpoints.runs import run_folder
from detection.cli.devices import unusable_devices
from detection.cli.help import choices, keys_of
from detection.cli.hydra_versions import instantiate, register_resolver
from detection.cli.other_tools import groups
from detection.cli.without_effect import without_effect
from detection.data.step_size import keep_one_size
from detection.registry import load_plugins
from detection.settings import ScaleRule, Settings
from detection.sweeps.job import in_sweep
from detection.system.files import write_text
from detection.system.processes import CONF as CONF
from detection.system.processes import FLAGS, command, started_elsewhere
from detection.system.wording import escaped

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from detection.data.datamodule import DetectionDataModule
    from detection.tasks.base import DetectionTask
    from detection.validation.configuration import Mistake

register_resolver("run_folder", run_folder, replace=True)
register_resolver("command", lambda verb: " ".join(command(verb)), replace=True)
register_resolver("flags", lambda: FLAGS, replace=True)
register_resolver("keys_of", keys_of, replace=True)
register_resolver("choices", choices, replace=True)


_GROUPS_READ: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("predict", "convert", "serve", "share"), ()),
    "evaluate": ("data", "trainer"),
    "export": ("data",),
}
"""Of the commands that begin no training: the groups of its configuration that they read."""

# Of keys that a newcomer cannot guess.
_VALUES = {"ckpt": "ckpt=best.ckpt, or without a training ckpt=tensorflow/ssd_mobilenet_v2_coco"}


def checked_config(cfg: DictConfig, own: type[Settings] | None = None) -> dict[str, Any]:
    """Resolve a configuration and check every node against the constructor it names.

    Args:
        cfg: the configuration; values that are nearly right are corrected in it, and the user is told.
        own: what documents the command's own keys.

    Raises:
        SystemExit: with all errors, one per line, when there are any.
    """
    # Takes a while: --help and mistyped keys do not wait for it.
    from detection.cli.corrections import correct_paths, correct_values, is_copy
    from detection.cli.words import tell_readings

    errors: list[str] = []
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        errors += [f"{key}: needs a value ({_VALUES.get(key, f'{key}=...')})" for key in missing]
        if not errors:
            correct_paths(cfg, _verb())
        config = _plain(cfg, resolve=not errors)
        load_plugins(config.get("plugins") or ())
    except OmegaConfBaseException as error:
        errors.append(f"{error.full_key}: {str(error).partition(chr(10))[0]}")
    except ValueError as error:
        errors.append(str(error))
    if not errors:
        errors += _added_in_vain(config, own)
    if not errors:
        mistakes = _mistakes(config, own)
        if correct_values(cfg, mistakes):
            config = _plain(cfg, resolve=True)
            mistakes = _mistakes(config, own)
        # One mistake need not be reported again wherever its value is copied to.
        errors += [m.sentence for m in mistakes if not is_copy(cfg, m.path)] or [m.sentence for m in mistakes]
        errors += _of_another_recipe(mistakes)
        if "trainer" in config:
            errors += started_elsewhere(config["trainer"])
            errors += unusable_devices(config["trainer"]) if not errors and _verb() != "check" else []
        if not errors and _verb() == "train":
            errors += _never_trained(config)
        errors += keep_one_size(config.get("data", {}), typed_overrides())
        errors += _do_not_go_together(config, own) if own is not None else []
        errors += without_effect(config, typed_overrides(), _verb()) if not in_sweep() else []
    if errors:
        raise SystemExit("\n".join(["The configuration has errors; nothing was run.", *errors]))
    tell_readings()
    return config


def _of_another_recipe(mistakes: "list[Mistake]") -> list[str]:
    """What to do where a recipe sets keys for other data or another model than is typed."""
    typed = typed_overrides()
    recipe = [word for word in typed if word.startswith("experiment=")]
    chosen = [word for word in typed if word.startswith(("data=", "model=", "data/", "model/"))]
    keys = {word.lstrip("+").partition("=")[0] for word in typed}
    unknown = [each for each in mistakes if "no argument" in each.sentence and each.path not in keys]
    if not (recipe and chosen and unknown):
        return []
    return [
        f"{recipe[0]} sets what {' '.join(chosen)} does not have: leave one of them out, or choose a "
        "recipe that fits, such as experiment=finetune for images of your own."
    ]


def _do_not_go_together(config: dict[str, Any], own: type[Settings]) -> list[str]:
    try:
        own.of(config)
    except ValueError as error:
        return [str(error)]
    except TypeError:  # of a value that is told already
        pass
    return []


def _mistakes(config: dict[str, Any], own: type[Settings] | None) -> "list[Mistake]":
    from detection.validation.configuration import find_mistakes, find_mistakes_in_keys

    mistakes, checked = [], dict(config)
    if own is not None:
        mistakes += find_mistakes_in_keys(config, own)
    if "model" in config:
        mistakes += find_mistakes_in_keys(config["optimizer"], ScaleRule, "optimizer")
        # The data decides the class names; they are filled in once it has been read.
        checked["model"] = model_config(config, class_names=[], batch_size=None)
        checked["optimizer"] = checked["model"]["optimizer"]
    return mistakes + find_mistakes(checked)


def _added_in_vain(config: dict[str, Any], own: type[Settings] | None) -> list[str]:
    """Refuse keys that ``+`` adds beside the command's own, which nothing reads."""
    from detection.cli.readings import unknown_key

    typed = typed_overrides()
    of_training = [group.partition("/")[0] for group in groups()]
    known = {*_GROUPS_READ.get(_verb(), of_training), *(own.keys() if own else config)}
    errors = []
    for word in typed:
        key, _, value = word.lstrip("+").partition("=")
        root = key.partition(".")[0]
        if not word.startswith("+") or root in known or any(f"${{{root}" in other for other in typed):
            continue
        answer = unknown_key(key, value, {name: config[name] for name in config if name in known}, _verb())
        errors.append(
            answer if isinstance(answer, str) else f"{key}: no such key; give {' '.join(answer or [])}"
        )
    return errors


def _verb() -> str:
    return str(HydraConfig.get().job.config_name) if HydraConfig.initialized() else "train"


def typed_overrides() -> list[str]:
    """What the user has typed, as ``KEY=VALUE``; nothing where no command runs."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _never_trained(config: dict[str, Any]) -> list[str]:
    """Refuse what torch would refuse once weights are fetched and data is read, or what trains nothing."""
    lr, epochs = config["optimizer"].get("lr"), config["trainer"].get("max_epochs")
    errors = []
    if isinstance(lr, int | float) and lr <= 0:
        errors.append(f"optimizer.lr={lr}: give a learning rate above 0, such as optimizer.lr=0.001")
    if epochs == 0:
        errors.append("trainer.max_epochs=0: nothing would be trained; evaluate tests a checkpoint")
    limits, has_steps = config["trainer"], config["trainer"].get("max_steps") not in (None, -1)
    endless = epochs == -1 or (epochs is None and limits.get("max_time") is not None)
    if endless and not has_steps and not config.get("find"):
        errors.append(
            f"trainer.max_epochs={-1 if epochs else 'null'}: the learning rate follows the length of the "
            "run; give trainer.max_epochs=<epochs>, or trainer.max_steps=<optimizer steps> as well"
        )
    return errors


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
    """The optimizer and its learning rate, and how that comes from the one that was typed."""
    settings = config["optimizer"]
    scale, lr = lr_scale(config, batch_size), settings["lr"]
    scaled = f" = {lr:g} x {batch_size} / {settings['base_batch_size']} images (optimizer.scale_lr)"
    name = settings["_target_"].rpartition(".")[2]
    return f"{name} at lr {lr * scale:.3g}{scaled if settings['scale_lr'] else ''}"


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
        raise SystemExit(escaped(f"{cause}", but="\n\t")) from error


def _plain(cfg: DictConfig | ListConfig, resolve: bool = False) -> dict[str, Any]:
    config = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def make_trainer(config: dict[str, Any]) -> "pl.Trainer":
    """Make the trainer with its callbacks and loggers; alone, without either, to look for settings."""
    from detection.callbacks.own_signals import keep_own_signals

    if config["find"]:
        from detection.tasks.tuning import TRAINER

        trainer: pl.Trainer = instantiate(config["trainer"], **TRAINER)
        keep_own_signals(trainer)
        return trainer
    from detection.loggers.tracker import guarded

    callbacks = [instantiate(callback) for callback in config["callbacks"].values()]
    loggers = [guarded(instantiate(logger)) for logger in config["logger"].values()]
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
