"""How a run is resumed (``ckpt=...``): from which checkpoint, and what has changed since."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from detection.checkpoints.best_of_run import refuse_another_best
from detection.checkpoints.config_before import SETTINGS, changes_of_config, config_before, digest_of_settings
from detection.checkpoints.differences import Change, changed_keys, check_same_network
from detection.checkpoints.loading import read_checkpoint
from detection.checkpoints.measured import VAL_SET
from detection.checkpoints.notes import full_name, notes
from detection.checkpoints.runs import find_checkpoint, of_restarted_job
from detection.checkpoints.tensors import compare_weights
from detection.data.step_size import step_of_the_first_release
from detection.models.described_anchors import anchor_arguments, anchors_in_numbers, with_anchor_arguments
from detection.registry import build, without_weights
from detection.system.processes import as_typed
from detection.system.wording import counted

if TYPE_CHECKING:
    from detection.data.datamodule import DetectionDataModule

# A key with a value, as it is typed, in place of words or a whole part.
_SETTING = re.compile(r"\w+(\.\w+)+")
# Of trainer; what else a description has under "training" is told in these words.
_TRAINER = ("precision", "accumulate_grad_batches", "max_epochs", "max_steps", "limit_val_batches")
_WORDS = {
    "images_per_step": "images per step",
    "train_images": "training images",
    "val_images": "validation images",
}


class Origin(NamedTuple):
    """The checkpoint that a run resumes from."""

    path: Path
    checkpoint: dict[str, Any]
    """As ``read_checkpoint`` gives it."""

    @property
    def class_names(self) -> list[str]:
        """Those that it knows, in label order."""
        names: list[str] = self.checkpoint["hyper_parameters"]["model"]["class_names"]
        return names


def read_origin(config: Mapping[str, Any]) -> Origin | None:
    """Read the checkpoint that ``ckpt`` names; its own last one in a job that was started again.

    Args:
        config: the whole configuration, with ``ckpt`` and ``run_dir``.

    Returns:
        None for a new run.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it cannot be read, or the run is to look for settings.
    """
    path = find_checkpoint(config["ckpt"], config["run_dir"]) or of_restarted_job(config["run_dir"])
    if path is None:
        return None
    if config["find"]:
        raise ValueError(
            f"find={config['find']} looks for the settings of a new run: leave ckpt out; to start from the "
            f"weights of a checkpoint, give init_from={path}"
        )
    try:
        return Origin(path, read_checkpoint(path))
    except ValueError as error:
        best = path.with_name("best.ckpt")
        if path == best or not best.exists():
            raise
        raise ValueError(f"{error}; an earlier one lies beside it, which resumes with ckpt={best}") from error


def describe_training(config: Mapping[str, Any], datamodule: "DetectionDataModule") -> dict[str, Any]:
    """What a checkpoint tells about its training, beside the model with its optimizer and schedule.

    Args:
        config: the whole configuration.
        datamodule: set up, its steps divided among the devices.

    Returns:
        Plain values by name.
    """
    images = {f"{split}_images": len(datamodule.datasets[split]) for split in ("train", "val")}
    trainer = {key: config["trainer"].get(key) for key in _TRAINER}
    trainer["precision"] = full_name(trainer["precision"])
    images_per_step, val_set = datamodule.images_per_step, datamodule.datasets["val"].fingerprint()
    described = {**trainer, "images_per_step": images_per_step, **images}
    return {**described, VAL_SET: val_set, SETTINGS: digest_of_settings(config)}


def refuse_another_network(origin: Origin, model: dict[str, Any]) -> None:
    """Compare the networks before any data is read; what that decides, classes and anchors, is not looked at.

    Args:
        origin: the checkpoint.
        model: the configured one, with the checkpoint's classes.

    Raises:
        ValueError: they are not the same.
    """
    described = origin.checkpoint["hyper_parameters"]["model"]
    kept = anchor_arguments(described)
    check_same_network(described, with_anchor_arguments(model, kept) if kept else model, origin.path)


def keep_anchors(model: dict[str, Any], origin: Origin) -> tuple[dict[str, Any], str]:
    """Give the model of a resumed run the anchors of its checkpoint.

    Args:
        model: what the task is made from.
        origin: the checkpoint.

    Returns:
        The description of the model, and a line for the user where its anchors are not those that a new run
        has: where 0.1 made them.

    Raises:
        ValueError: the configuration asks for other anchors.
    """
    described = origin.checkpoint["hyper_parameters"]["model"]
    kept = anchor_arguments(described)
    if not kept:
        return model, ""
    resumed = with_anchor_arguments(model, kept)
    if not _same_inputs(described, model):
        return resumed, ""  # of another network, with which a run cannot be resumed anyway
    wanted, had = _anchor_numbers(model), _anchor_numbers(resumed)
    if wanted == had:
        return resumed, ""
    others = {name for name in {**had, **wanted} if had.get(name) != wanted.get(name)}
    had, wanted = ({name: n[name] for name in n if name in others} for n in (had, wanted))
    asked = anchor_arguments(model)
    if asked:
        raise ValueError(
            f"{origin.path} has other anchors than the configuration ({had}, not {wanted}). To resume with "
            f"those of the checkpoint, leave out model.network's {', '.join(asked)}; to start a new run from "
            "its weights, use init_from instead of ckpt."
        )
    return resumed, f"The anchors stay those of the checkpoint, {had}; a new run would have {wanted}."


def _same_inputs(described: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    then, now = (
        (
            part["network"]["_target_"],
            part["network"].get("size"),
            {**part["backbone"], "weights": None},
        )
        for part in (described, model)
    )
    return then == now


def _anchor_numbers(model: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    with torch.device("meta"):  # weights do not matter
        backbone = build(without_weights(model["backbone"]))
        return anchors_in_numbers(build(model["network"])(backbone=backbone, num_classes=1))


def changes_since(
    origin: Origin, config: Mapping[str, Any], model: Mapping[str, Any], training: Mapping[str, Any]
) -> str:
    """Say what has changed since a checkpoint was written, and refuse what a run cannot be resumed with.

    Args:
        origin: the checkpoint.
        config: the whole configuration.
        model: what the task is made from.
        training: see :func:`describe_training`.

    Returns:
        Lines for the user.

    Raises:
        ValueError: it is of another network, holds weights alone, its run is longer than what is asked, or
            the folder has the best checkpoint of another run.
    """
    path, checkpoint = origin
    described = checkpoint["hyper_parameters"]
    check_same_network(described["model"], model, path)
    if not (checkpoint.get("optimizer_states") and checkpoint.get("loops")):
        raise ValueError(
            f"{path} holds weights, but not the state of a training to resume: start a new run from "
            f"them by init_from={path}"
        )
    for weights in ("state_dict", "current_model_state"):  # with an average, this and the weights themselves
        if weights in checkpoint:
            compare_weights(described["model"], checkpoint[weights], path)
    refuse_another_best(path, checkpoint, config["callbacks"])
    before = config_before(path, described.get("training", {}))
    lines = [
        f"Resuming from {path}.",
        notes(described, path, resumes=True),
        step_of_the_first_release(before),
    ]
    changes = _changes(described, {"model": model, "training": training})
    if config["optimizer"]["scale_lr"]:  # nobody has typed these
        scaled = {"optimizer.lr": "learning rate"}
        changes = [change._replace(key=scaled.get(change.key, change.key)) for change in changes]
    by_key = {change.key: change for change in (*changes, *changes_of_config(before, config))}
    if by_key:
        changes = [by_key[key] for key in sorted(by_key)]
        told = "; ".join(map(str, changes))
        lines.append(f"Changed since: {told}. This is used from now on.{_as_it_was(changes)}")
    try:
        lines += [_what_is_left(checkpoint, config["trainer"], path), _later_epochs(checkpoint, path)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} does not say how far its training has come: start a new run from its weights by "
            f"init_from={path}"
        ) from error
    return "\n".join(line for line in lines if line)


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What changed of optimizer, schedule and training, as the checkpoint itself describes them."""
    before, after = (
        {part: side["model"].get(part, {}) for part in ("optimizer", "scheduler")} for side in (then, now)
    )
    changes = changed_keys(before, after)
    if "training" in then:  # not in checkpoints of 0.1
        told = {key: value for key, value in now["training"].items() if key not in (VAL_SET, SETTINGS)}
        changes += changed_keys({key: then["training"].get(key) for key in told}, told)
    named = {key: f"trainer.{key}" for key in _TRAINER} | _WORDS
    return [change._replace(key=named.get(change.key, change.key)) for change in changes]


def _as_it_was(changes: Sequence[Change]) -> str:
    """What to type to have settings as they were; nothing where that was typed or follows from it."""
    typed = {word.lstrip("+").partition("=")[0] for word in sys.argv[1:]}
    others = {change.key for change in changes if not _SETTING.fullmatch(change.key)}  # such as an optimizer
    follows = {change[1:] for change in changes if change.key in typed}  # as data.seed from seed
    words = [
        f"{change.key}={change.before}"
        for change in changes
        if change.key not in typed
        and change.key.partition(".")[0] not in others | typed
        and _SETTING.fullmatch(change.key)
        and change.before not in ("(none)", "off", "on")
        and not (change[1:] in follows and change.key.rpartition(".")[2] in typed)
    ]
    return f" To have it as it was, add: {as_typed(words)}" if words else ""


def _what_is_left(checkpoint: Mapping[str, Any], trainer: Mapping[str, Any], path: Path) -> str:
    """Refuse a run that has already been trained for longer than what is asked; say when nothing is left."""
    from detection.tasks.resuming import epochs_done

    counts = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"].values()
    if max(counts) - min(counts) > 1:  # an epoch is begun, trained and counted, one by one
        raise TypeError
    epochs, steps = epochs_done(checkpoint["loops"]["fit_loop"]), checkpoint["global_step"]
    for key, done in (("epochs", epochs), ("steps", steps)):
        wanted = trainer.get(f"max_{key}")
        if wanted is None or wanted < 0 or done < wanted:  # no limit is None or -1
            continue
        ways = f"more with trainer.max_{key}={2 * done}, say"
        if done > wanted:
            raise ValueError(
                f"{path} has {counted(done, key[:-1])} of training, and trainer.max_{key}={wanted} asks "
                f"for fewer: there is nothing to do. Train {ways}; test what there is with python -m "
                f"detection.evaluate; or start a new run from its weights with init_from={path}"
            )
        told = f"All {done} {key} are" if done > 1 else f"The one {key[:-1]} is"
        return f"{told} done: nothing is left to train (train {ways}), the best is tested."
    return ""


def _later_epochs(checkpoint: Mapping[str, Any], path: Path) -> str:
    """Say that what the run trained after this checkpoint is given up."""
    last = path.with_name("last.ckpt")
    if path.name == last.name or not last.is_file():
        return ""
    try:
        steps = read_checkpoint(last)["global_step"]
    except (ValueError, OSError, KeyError):
        return ""
    lost = steps - checkpoint["global_step"]
    if lost <= 0:
        return ""
    steps = f"{lost} steps that {last} has more are" if lost > 1 else f"one step that {last} has more is"
    return f"The {steps} trained again, and replaced (ckpt={last} keeps {'them' if lost > 1 else 'it'})."
