"""A new training that starts from the weights of another, with other classes (``init_from=...``)."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from detection.checkpoints.description import DATA_KEYS, DescriptionError, check_description
from detection.checkpoints.loading import load_task
from detection.checkpoints.notes import notes
from detection.checkpoints.runs import find_weights, words_of_model
from detection.models.described_anchors import anchor_arguments, anchors_in_numbers
from detection.registry import build, without_weights, word_for
from detection.system.processes import as_typed
from detection.system.wording import counted, in_a_list, some_of
from detection.validation.suggestions import nearest

if TYPE_CHECKING:
    from torch import Tensor

    from detection.tasks.base import DetectionTask

_HISTORY = ("_target_", "_partial_", "weights", "freeze_batchnorm", "frozen_blocks")


def first_weights(config: Mapping[str, Any]) -> "DetectionTask | None":
    """Fetch the weights that a training starts from.

    Args:
        config: the whole configuration, with ``model``, ``init_from`` and ``ckpt``.

    Returns:
        The detector that ``init_from`` names, for :func:`make_task`.

    Raises:
        OSError, ValueError: they cannot be had, or are of another network.
    """
    import torch

    if config["ckpt"] is not None:
        return None
    with torch.random.fork_rng():  # what is trained does not depend on when this is done
        if config["init_from"] is not None:
            return load_task(find_weights(config["init_from"], config["name"]))
        if config["model"]["backbone"].get("weights") is not None:
            build(config["model"]["backbone"])
    return None


def make_task(
    model: dict[str, Any], config: Mapping[str, Any], origin: "DetectionTask | None" = None
) -> "tuple[DetectionTask, str]":
    """Make the task of a training, with the weights that ``init_from`` names.

    Args:
        model: what the task is made from.
        config: the whole configuration, with ``init_from``, ``init_reuse`` and ``ckpt``.
        origin: the detector that ``init_from`` names, where it is loaded already.

    Returns:
        The task, and a few lines about its weights, for the user.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it does not fit, or ``init_reuse`` names a class that there is not; or the checkpoints of
            this training could not be opened.
    """
    check_that_it_can_be_opened(model, config["data"])
    source, reuse = config["init_from"], config["init_reuse"]
    if source is None and reuse:
        raise ValueError("init_reuse says which classes to take from a checkpoint: give init_from too.")
    if config["ckpt"] is not None:
        line = f"init_from={source} is not read: ckpt={config['ckpt']} brings its own weights."
        return build(without_weights(model)), line if source else ""
    if source is None:
        return build(model), frozen_noise(model["backbone"])
    source = find_weights(source, config["name"])
    task: DetectionTask = build(without_weights(model))  # the backbone's are in the checkpoint too
    return task, take_weights(task, model, origin or load_task(source), source, reuse)


def check_that_it_can_be_opened(model: dict[str, Any], data: Mapping[str, Any]) -> None:
    """Refuse a training whose checkpoints nobody could open: it would be in vain.

    Args:
        model: what the task is made from.
        data: the configuration of the data.

    Raises:
        ValueError: its description names what is not registered, or says what none may.
    """
    try:
        check_description({"model": model, "data": {key: data[key] for key in DATA_KEYS}})
    except DescriptionError as error:
        raise ValueError(f"A checkpoint of this training could not be opened: {error}.") from error


def frozen_noise(backbone: Mapping[str, Any]) -> str:
    """Warn of a backbone that starts from random weights and is not allowed to learn some of them.

    Frozen batch norms do not normalise random features, which grow from layer to layer: the loss of a
    ResNet-101 is infinite at once.

    Args:
        backbone: its configuration.

    Returns:
        A line for the user, or nothing.
    """
    frozen = [key for key in ("freeze_batchnorm", "frozen_blocks") if backbone.get(key)]
    if not frozen or backbone.get("weights", "its own") is not None:
        return ""
    keys = " and ".join(f"model.backbone.{key}={str(backbone[key]).lower()}" for key in frozen)
    return (
        f"Warning: the backbone starts from random weights, yet {keys}: what is frozen stays random. Give "
        "model.backbone.weights, or set these to false and 0."
    )


def take_weights(
    task: "DetectionTask",
    model: Mapping[str, Any],
    origin: "DetectionTask",
    source: str,
    reuse: Mapping[str, str] | None = None,
) -> str:
    """Copy the weights of a checkpoint into a new task.

    Of classes with the same name, and of background, the predictors are kept; those of all others stay as
    they were initialised. If the networks differ in more than that, the backbone alone is copied.

    Args:
        task: of the new classes.
        model: its description, for messages.
        origin: the task of the checkpoint.
        source: what the checkpoint is called.
        reuse: ``{new name: old name}`` of classes to take from one of another name.

    Returns:
        A few lines for the user: what was kept, and what was not.

    Raises:
        ValueError: not even the backbones are the same, or ``reuse`` names a class that there is not.
    """
    old_names, new_names = origin.class_names, task.class_names
    anchors_note = _compare_anchors(origin.network, task.network)
    before = set(origin.network.parameters())
    if type(origin.network) is type(task.network):
        kept = origin.network.reset_classes(old_names, new_names, reuse)
    else:
        kept = {}
    anew = {name for name, weight in origin.network.named_parameters() if weight not in before}
    old, new = origin.network.state_dict(), task.network.state_dict()
    lines = [
        f"Starting from {source}: {_describe(origin.hparams['model'])}, {counted(len(old_names), 'class')}"
    ]
    if told := notes(origin.hparams, source, resumes=True):
        lines += [f"  {note}" for note in told.splitlines()]
    if _shapes(old) == _shapes(new):
        task.network.load_state_dict(old)
        task.started_from = _of_task(old.keys() - anew)
        fresh = [name for name in new_names if name not in kept]
        lines.append(f"  kept: all layers{_kept(kept)}")
        if fresh:
            hints = some_of([_hint(name, old_names) for name in fresh])
            lines += [
                f"  re-initialised: {counted(len(fresh), 'class')}: {hints}",
                "    one that looks like a class of the checkpoint starts better from it: "
                f"'init_reuse={{{in_a_list(fresh[0])}: {in_a_list(old_names[0])}}}', say. It knows "
                f"{some_of(old_names)}",
            ]
        return "\n".join(lines + anchors_note)
    return "\n".join(lines + _take_backbone(task, model, origin, source))


def _take_backbone(
    task: "DetectionTask", model: Mapping[str, Any], origin: "DetectionTask", source: str
) -> list[str]:
    """Copy the weights of the backbone alone, and say so."""
    names = f"{source} has {_describe(origin.hparams['model'])}, the configuration {_describe(model)}"
    old, new = origin.network.state_dict(), task.network.state_dict()
    if _shapes(_backbone(old)) != _shapes(_backbone(new)):
        typed = words_of_model(source)
        fitting = f"type its overrides: {as_typed(typed)}" if typed else "give the overrides of its model"
        raise ValueError(
            f"init_from: {names}. These networks have nothing in common; {fitting}, or at least its backbone."
        )
    # The images' mean and std belong to the weights; their shape is the network's.
    images = {key: old[key].reshape(new[key].shape) for key in ("mean", "std")}
    task.network.load_state_dict(_backbone(old) | images, strict=False)
    task.started_from = _of_task(_backbone(old))
    skipped = len(new.keys() - _backbone(new).keys() - images.keys())
    classes = counted(len(task.class_names), "class")
    return [
        "  kept: the backbone",
        f"  re-initialised: all {classes} and {counted(skipped, 'tensor')} behind the backbone, since",
        f"    {names}",
    ]


def _of_task(names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"network.{name}" for name in names)


def _shapes(state: Mapping[str, "Tensor"]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def _backbone(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    return {key: value for key, value in state.items() if key.startswith("backbone.")}


def _compare_anchors(old: Any, new: Any) -> list[str]:
    """A line for the user where the anchors, which are not among the weights, are not the same."""
    then, now = _anchors(old), _anchors(new)
    if then == now:
        return []
    # Of the same layers; SSDs of different ones share their backbone at most.
    if "anchor_ratios" in then and then["anchor_ratios"] == now.get("anchor_ratios"):
        growths = [b / a for a, b in zip(then["anchor_sizes"], now["anchor_sizes"], strict=True)]
        if growths[0] != 1 and max(growths) - min(growths) < 1e-6 * max(growths):
            return [f"  note: the anchors are {growths[0]:.3g} times as large as the checkpoint's"]
    return ["  note: the anchors are others than the checkpoint's; boxes have to be learnt anew"]


def _anchors(network: Any) -> dict[str, Any]:
    """What decides the anchors."""
    from detection.models.ssd import SSD

    if isinstance(network, SSD):
        return anchors_in_numbers(network)
    rpn = network.rpn
    return {"base": [b.tolist() for b in rpn.base_anchors], "steps": (rpn.strides, rpn.fit_strides)}


def _describe(model: Mapping[str, Any]) -> str:
    return f"{_call(model['network'])} on {_call(model['backbone'])}"


def _call(node: Mapping[str, Any]) -> str:
    hidden = (*_HISTORY, *anchor_arguments({"network": node}))
    arguments = ", ".join(f"{key}={value}" for key, value in node.items() if key not in hidden)
    name = word_for(node["_target_"])
    return f"{name}({arguments})" if arguments else name


def _kept(kept: Mapping[str, str]) -> str:
    """What of the predictors of classes is kept, after the other layers."""
    if not kept:
        return " and background, but no class"
    told = {in_a_list(new): in_a_list(old) for new, old in kept.items()}
    names = [new if new == old else f"{new} (from {old})" for new, old in told.items()]
    return f", background and {counted(len(kept), 'class')}: {some_of(names)}"


def _hint(name: str, old_names: list[str]) -> str:
    near = nearest(name, old_names, cutoff=0.7)
    return (
        f"{name} (for the checkpoint's {near}: 'init_reuse={{{name}: {near}}}')" if near else in_a_list(name)
    )
