"""The parts of timm's models, one after another: what is frozen, and what is run on regions."""

from collections.abc import Container, Iterator, Sequence
from itertools import pairwise

import torch
from torch import nn

from detection.models.backbones.timm_features import Level, feature_maps


def split_into_blocks(net: nn.Module, levels: Sequence[Level]) -> list[nn.Sequential]:
    """Part a model behind its maps of stride 2, 4, 8, 16 and 32.

    The first block is the stem, also where timm has no map of stride 2.

    Args:
        net: as timm made it; its parts are registered in the order in which they are used.
        levels: all maps that timm knows of the model.
    """
    parts, ends = _parts_and_ends(net, levels)
    return [nn.Sequential(*list(parts.values())[start:end]) for start, end in pairwise([0, *ends])]


def take_stage(name: str, net: nn.Module, levels: Sequence[Level]) -> nn.Module:
    """Take the part between the maps of stride 16 and 32 out of a model.

    Args:
        name: of the model.
        net: as timm made it, returning those two maps; only the first remains.
        levels: all maps that timm knows of the model.

    Raises:
        ValueError: the one is not made of the other by parts that follow one another.
    """
    parts, ends = _parts_and_ends(net, levels)
    taken = list(parts)[ends[3] : ends[4]]
    stage = nn.Sequential(*(parts[path] for path in taken))
    images = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0), device="cpu")
    mode = net.training
    built = not next(net.parameters()).is_meta  # else there are no values to compare
    try:
        with torch.no_grad():
            before, after = feature_maps(net.eval(), images) if built else (images, images)
            for path in taken:
                parent, _, attribute = path.rpartition(".")
                delattr(net.get_submodule(parent), attribute)
            if built:
                torch.testing.assert_close(stage.eval()(before.clone()), after)
                torch.testing.assert_close(feature_maps(net, images)[0], before)
    except Exception as error:  # as many kinds as models
        raise ValueError(
            f"The last stage of timm's {name} cannot be run on regions by itself: choose another "
            "model.backbone.name, such as resnet50, or a model with a feature pyramid, model=faster_rcnn_fpn."
        ) from error
    net.train(mode)
    return stage.train(mode)


def _parts_and_ends(net: nn.Module, levels: Sequence[Level]) -> tuple[dict[str, nn.Module], list[int]]:
    """The parts of a model in their order, and how many lead to a map of stride 2, 4, 8, 16 and 32."""
    known = dict(net.named_modules())
    paths = {level.stride: _path(level.module, known) for level in levels}
    parts = dict(_parts(net, [path for path in paths.values() if path], ""))
    places = {stride: list(parts).index(path) for stride, path in paths.items() if path in parts}
    stem = min(places.values(), default=0)
    ends = [
        max((place + 1 for stride, place in places.items() if stride <= limit), default=stem)
        for limit in (2, 4, 8, 16, 32)
    ]
    return parts, ends


def _path(module: str, known: Container[str]) -> str | None:
    """Where a module of a classifier is in the model that timm made of it; None where it was left out."""
    for path in (module, module.replace(".", "_", 1), f"model.{module}", f"body.{module}"):
        if path in known:
            return path
    return None


def _parts(module: nn.Module, whole: Sequence[str], prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The largest modules that are one of ``whole`` or hold none of them."""
    for name, child in module.named_children():
        path = prefix + name
        if any(each.startswith(f"{path}.") for each in whole):
            yield from _parts(child, whole, f"{path}.")
        else:
            yield path, child
