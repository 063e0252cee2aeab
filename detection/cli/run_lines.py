"""What a training says before its first step, and what to type after its last one."""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from detection.bounds import height_and_width
from detection.checkpoints.notes import full_name, network_name
from detection.cli.compose import describe_lr, typed_overrides
from detection.cli.other_tools import options
from detection.cli.quoting import as_value
from detection.data.formats.records import SPLITS
from detection.registry import word_for
from detection.settings.detector import SUFFIXES
from detection.system.console import plain_console
from detection.system.processes import as_typed, command, num_cores
from detection.system.wording import counted

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from detection.data.datamodule import DetectionDataModule
    from detection.tasks.base import DetectionTask

# Of how data is loaded, what an evaluation needs as well: to take the same images.
_OF_EVALUATION = {"other_classes", "on_error"}
_INDENT = len("Model:  ")


def opening(
    config: dict[str, Any],
    trainer: "pl.Trainer",
    datamodule: "DetectionDataModule",
    task: "DetectionTask",
    step: str,
    length: str,
) -> str:
    """Describe a training in five lines, and in one more what slows it down.

    Args:
        config: the whole configuration.
        trainer: with its devices known.
        datamodule: set up.
        task: with the weights that it starts from.
        step: what a step is made of.
        length: how long it takes, where the number of images says so.
    """
    lines = {
        "Data": _data(config["data"], datamodule),
        "Model": _model(config, datamodule, task),
        "Step": _step(config, trainer, datamodule, step, length),
    }
    if not config["find"]:
        lines["Run"] = f"{config['run_dir']}, logged by {' and '.join(config['logger']) or 'nothing'}"
        lines["Test"] = _test(config, datamodule)
    told = [_wrapped(f"{name + ':':{_INDENT}}{text}") for name, text in lines.items()]
    return "\n".join([*told, *_crowded(config["data"], trainer)])


def next_commands(checkpoint: str, config: Mapping[str, Any]) -> str:
    """How to evaluate, use and export what a training has made, ready to paste.

    Args:
        checkpoint: what was tested.
        config: of the training.
    """
    from detection.data.datamodule import DetectionDataModule

    job = HydraConfig.get()
    common = {
        field.name for field in fields(DetectionDataModule)
    } - _OF_EVALUATION  # how, and not what, to load
    typed = [word.lstrip("+") for word in job.overrides.task]
    data = [word for word in typed if word.startswith("data.") and re.split(r"[.=]", word)[1] not in common]
    own: list[str] = []
    if job.runtime.choices.get("experiment") not in (None, *options("experiment")):  # it may say these
        own = [f"plugins={as_value(config['plugins'])}"] if config["plugins"] else []
        root = config["data"].get("root")
        data = [f"data.root={root}", *data] if root else data  # of two with one key the last counts
    evaluate = _using("evaluate", checkpoint, f"data={job.runtime.choices['data']}", *data, *own)
    return next_uses(checkpoint, [evaluate], own)


def next_uses(ckpt: str, before: Sequence[str] = (), own: Sequence[str] = ()) -> str:
    """How to use a detector on photographs and to export a checkpoint, ready to paste.

    Args:
        ckpt: a checkpoint, or an exported file.
        before: commands that come first.
        own: words that a recipe has for all of them.
    """
    uses = [_using("predict", ckpt, "source=PHOTOS", *own)]
    if Path(ckpt).suffix not in SUFFIXES.values():
        uses.append(_using("export", ckpt, *own))
    return "\n  ".join(["Next:", *before, *uses])


def _using(verb: str, ckpt: str, *words: str) -> str:
    return as_typed([*command(verb), f"ckpt={ckpt}", *words, *words_of_own_parts()])


def words_of_own_parts() -> list[str]:
    """What a command that is suggested needs, too: the packages and configuration files of the user's own."""
    words = [word for word in typed_overrides() if word.startswith("plugins=")]
    if not HydraConfig.initialized():
        return words
    job = HydraConfig.get()
    folders = [source.path for source in job.runtime.config_sources if source.provider == "command-line"]
    search = [word for word in job.overrides.hydra if word.startswith("hydra.searchpath=")]
    return [*words, *search, *(word for folder in folders for word in ("--config-dir", folder))]


def _wrapped(line: str) -> str:
    if not sys.stdout.isatty():
        return line
    return textwrap.fill(
        line,
        plain_console().width,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _data(data: dict[str, Any], datamodule: "DetectionDataModule") -> str:
    from detection.data.rare_classes import describe_sampling

    splits = []
    for split in SPLITS:
        dataset = datamodule.datasets[split]
        if split == "test" and datamodule.test_is_val:
            splits.append("test = val")
            continue
        used, objects = len(dataset.used_classes()), dataset.num_objects(difficult=True)
        classes = "" if used == len(dataset.classes) else f" of {counted(used, 'class')}"
        left_out = f", {counted(len(dataset.problems), 'image')} left out" if dataset.problems else ""
        images = counted(len(dataset), "image")
        splits.append(f"{split} {images} ({counted(objects, 'object')}{classes}{left_out})")
    number = len(datamodule.class_names)
    classes = f"{number} classes" if number != 1 else f"one class, {datamodule.class_names[0]}"
    root = f" in {data['root']}" if data.get("root") else ""
    train, per_step = datamodule.datasets["train"], datamodule.images_per_step
    drawn = describe_sampling(train, datamodule.sampling, datamodule.sampler, per_step)
    lines = f"{HydraConfig.get().runtime.choices['data']}{root}, {classes}: {', '.join(splits)}"
    return f"{lines}; {drawn}" if drawn else lines


def data_name(data: Mapping[str, Any]) -> str:
    """What a set is called in a report: ``voc07``, or of a set of one's own ``pets (auto)``."""
    choice: str = HydraConfig.get().runtime.choices["data"]
    has_a_name = choice in options("data") and choice not in ("auto", "voc_custom", "coco", "yolo")
    is_own = data.get("root") and not has_a_name
    return f"{Path(data['root']).resolve().name} ({choice})" if is_own else choice


def _model(config: dict[str, Any], datamodule: "DetectionDataModule", task: "DetectionTask") -> str:
    network, backbone = network_name(task.network), config["model"]["backbone"]
    height, width = height_and_width(datamodule.size)
    size = f"{height} x {width} pixels"
    if datamodule.collate == "list":
        size = f"of a shortest side of {height}, but a longest of {width} pixels at most"
    return (
        f"{network} on {word_for(backbone['_target_'])}, {task.describe_size()}, input "
        f"{size}, {_weights(config)}"
    )


def _weights(config: dict[str, Any]) -> str:
    if config["ckpt"]:
        return f"resumed from {config['ckpt']}"
    if config["init_from"]:
        return f"started from {config['init_from']}"
    weights = config["model"]["backbone"].get("weights")
    if weights is None:
        return "random weights"
    return f"{'ImageNet' if weights == 'imagenet' else weights} weights in the backbone"


def _step(
    config: dict[str, Any],
    trainer: "pl.Trainer",
    datamodule: "DetectionDataModule",
    step: str,
    length: str,
) -> str:
    told = [step]
    limits = config["trainer"]
    if limits.get("limit_train_batches") in (None, 1.0) and not limits.get("overfit_batches"):
        told.append(f"{datamodule.steps_per_epoch:,} an epoch")
    if (trainer.max_epochs or -1) > 0:
        told.append(length or counted(trainer.max_epochs or 0, "epoch"))
    told.append(describe_lr(config, datamodule.images_per_step))
    precision = full_name(trainer.precision).replace("32-true", "float32")
    told.append(f"{precision} on {trainer.strategy.root_device}")
    return ", ".join(told)


def _test(config: dict[str, Any], datamodule: "DetectionDataModule") -> str:
    monitors = (callback.get("monitor") for callback in config["callbacks"].values())
    monitor = next((monitor for monitor in monitors if monitor), None)
    which = f"the best checkpoint by {monitor}" if monitor else "the last checkpoint"
    of_objects = monitor is not None and monitor.startswith("val/") and "loss" not in monitor
    if of_objects and not datamodule.datasets["val"].num_objects(difficult=False):  # so it is undefined
        which = f"the last checkpoint, for val holds nothing to find, so that none is best by {monitor}"
    return f"{which}, on {datamodule.describe_split('test')}"


def _crowded(data: dict[str, Any], trainer: "pl.Trainer") -> Iterator[str]:
    devices = trainer.world_size // trainer.num_nodes
    cores = num_cores()
    if trainer.strategy.root_device.type == "cpu" and devices > cores:
        yield f"{devices} processes train on {counted(cores, 'core')}: trainer.devices={cores} is as fast."
    if (processes := data["num_workers"] * devices) > cores:
        fitting = max(1, cores // devices)
        yield (
            f"{processes} processes load images (data.num_workers={data['num_workers']}), more than the "
            f"{counted(cores, 'core')}: data.num_workers={fitting} takes less memory and is mostly as fast."
        )
