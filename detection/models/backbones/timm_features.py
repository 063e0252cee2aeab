"""Making models of timm that give maps of known strides."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detection.models.backbones.weights import State, load_submodule, read_file
from detection.system.errors import first_line
from detection.system.file_reading import MAX_CHECKPOINT, read_file_bytes
from detection.validation.suggestions import nearest

NEEDED = (8, 16, 32)
"""Strides of the maps that a model must give."""
_CHOICES = "model.backbone.weights takes 'imagenet', a path or null"


class Level(NamedTuple):
    """One of the maps that a model can give, as timm describes it."""

    stride: int
    channels: int
    place: int
    """Where it is among timm's maps of the model."""
    module: str
    """The part of the model whose output it is."""


def import_timm() -> Any:
    """timm, which is an extra and takes seconds to import.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"model/backbone=timm needs timm ({error}): pip install -e '.[timm]'") from error
    return timm


def find_levels(name: str) -> dict[int, Level]:
    """The maps that a model gives, by their strides; the deepest of each.

    Args:
        name: the model's, from timm's own list. Others, of a hub or a folder, are not looked up: a checkpoint
            may name one.

    Raises:
        ImportError: timm is not installed.
        ValueError: timm has no such model, or it does not give maps of strides 8, 16 and 32.
    """
    names = import_timm().list_models()
    if name not in names:
        near = nearest(name.partition(".")[0], names)
        hint = f": did you mean {near}?" if near else ": timm.list_models() lists them."
        raise ValueError(
            f"model.backbone.name={name!r:.80} is none of timm's models, whose names have no tag, hub or "
            f"folder{hint}"
        )
    return _levels(name)


@cache
def _levels(name: str) -> dict[int, Level]:
    try:
        with torch.device("meta"):  # no memory is taken, and no time to initialise
            about: Any = _create(name).feature_info
        found = [
            Level(info["reduction"], info["num_chs"], place, info["module"])
            for place, info in enumerate(about.info)
        ]
    except Exception as error:  # a model without maps fails in many ways
        raise _no_maps(name, first_line(error)[:200]) from error
    levels = {level.stride: level for level in found}
    if not set(NEEDED) <= set(levels):
        raise _no_maps(name, f"its maps have strides {list(levels)}")
    return levels


def create(name: str, pretrained: bool, levels: Sequence[Level]) -> nn.Module:
    """Build a model that returns some of its maps.

    Args:
        name: of the model.
        pretrained: with the weights that timm downloads by default, or finds in its cache.
        levels: which of its maps.

    Raises:
        ValueError: there are no weights, or they cannot be had.
    """
    places = tuple(level.place for level in levels)
    if not pretrained:
        return _create(name, out_indices=places)
    remedy = "pass model.backbone.weights=/path/to/file, or null for random ones"
    if not import_timm().models.is_model_pretrained(name):
        raise ValueError(f"timm has no weights of {name}: {remedy}.")
    try:
        return _create(name, out_indices=places, pretrained=True)
    except Exception as error:  # whatever the hub, its library and the network raise
        raise ValueError(
            f"Cannot get timm's weights of {name} ({first_line(error)[:200]}): {remedy}."
        ) from error


def _create(name: str, **options: Any) -> nn.Module:
    timm = import_timm()
    make = partial(timm.create_model, name, features_only=True, **options)
    net: nn.Module
    if timm.get_pretrained_cfg(name).fixed_input_size:
        with suppress(TypeError):  # those that take no such option, as most
            net = make(strict_img_size=False)  # Swin, say, takes inputs of any size on request
            return net
    net = make()
    return net


def load_file(net: nn.Module, weights: str) -> None:
    """Fill a model with the weights in a file.

    timm takes containers apart where it returns maps, and has ``stages_0.`` for the file's ``stages.0.``.

    Args:
        net: as timm made it.
        weights: path of the state dict of the whole model.

    Raises:
        ValueError: it cannot be read, or does not fit.
    """
    path = Path(weights)
    state = _read_safetensors(path) if path.suffix == ".safetensors" else read_file(path, _CHOICES)
    ours = {re.sub(r"^(model|body)\.", "", key).replace(".", "_"): key for key in net.state_dict()}
    renamed = {ours.get(key.removeprefix("module.").replace(".", "_"), key): state[key] for key in state}
    load_submodule(net, renamed, weights)


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(read_file_bytes(path, MAX_CHECKPOINT))
    except FileNotFoundError as error:
        raise ValueError(f"There is no weights file {path}; {_CHOICES}.") from error
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {_CHOICES}.") from error


def separate_activations(net: nn.Module) -> None:
    """Make of timm's batch norms with an activation a plain batch norm and the activation.

    PyTorch's SyncBatchNorm takes the place of every batch norm, and theirs would lose its activation.

    Args:
        net: as timm made it, and loaded: the names of its tensors change.
    """
    joined = import_timm().layers.BatchNormAct2d
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is joined:
                both: Any = child
                norm = nn.BatchNorm2d(both.num_features, both.eps, both.momentum)
                norm._parameters, norm._buffers = both._parameters, both._buffers
                setattr(parent, name, nn.Sequential(norm, both.drop, both.act))


def feature_maps(net: nn.Module, images: Tensor) -> list[Tensor]:
    """Run a model.

    Args:
        net: as timm made it.
        images: ``(B, 3, H, W)``.

    Returns:
        ``(B, C_i, H_i, W_i)`` of each of its maps.
    """
    maps: list[Tensor] = net(images)
    if getattr(net, "output_fmt", "NCHW") == "NHWC":  # transformers of windows
        return [x.permute(0, 3, 1, 2) for x in maps]
    return maps


def try_out(name: str, net: nn.Module, levels: Sequence[Level]) -> None:
    """Compare the maps of a model with what timm says of them, and freeze what they do not depend on.

    Args:
        name: of the model.
        net: as timm made it. On the meta device it is taken as it is: the checkpoint that describes it is
            compared there before it is built.
        levels: the maps that it returns.

    Raises:
        ValueError: the maps are others, or it takes inputs of one size only.
    """
    parameters, last = list(net.parameters()), levels[-1].stride
    if parameters[0].is_meta:
        return
    size = 3 * last, 5 * last  # odd, so that what rounds is noticed
    try:
        maps = feature_maps(net.eval(), torch.zeros(1, 3, *size))
    except Exception as error:
        raise _no_maps(name, first_line(error)[:200]) from error
    found = [tuple(x.shape[1:]) for x in maps]
    said = [(level.channels, size[0] // level.stride, size[1] // level.stride) for level in levels]
    if found != said:
        raise _no_maps(name, f"it gives {found} where {said} are expected")
    gradients = torch.autograd.grad([x.sum() for x in maps], parameters, allow_unused=True)
    unused = [parameter for parameter, grad in zip(parameters, gradients, strict=True) if grad is None]
    for parameter in unused:  # several processes would wait for their gradients
        parameter.requires_grad_(False)


def _no_maps(name: str, reason: str) -> ValueError:
    return ValueError(
        f"timm's {name} does not give maps of strides 8, 16 and 32 for inputs of any size ({reason}): choose "
        "another model.backbone.name, such as efficientnet_lite0, resnet50 or convnext_tiny."
    )
