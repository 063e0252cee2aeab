"""Models of the library timm that give feature maps, and their parts, one after another."""

from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from detection.bounds import Natural
from detection.models.backbones.base import Backbone
from detection.models.backbones.timm_features import (
    NEEDED,
    Level,
    create,
    feature_maps,
    find_levels,
    load_file,
    separate_activations,
    try_out,
)


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


class TimmBackbone(Backbone):
    """A model of timm as a feature extractor.

    It must give maps of strides 8, 16 and 32 (timm's ``features_only``), for inputs of any size. ``mean`` and
    ``std`` are those of timm's weights for the model.

    Args:
        name: one of ``timm.list_models()``, without the tag of its weights: ``efficientnet_lite0``.
        weights: ``"imagenet"`` for those that timm downloads by default, a path, or None for random. The file
            is a state dict of the whole model, as timm writes it, by torch or as ``.safetensors``.
        strides: which of the maps to return, finest first. ``(16,)`` keeps the stage behind for a head that
            takes it; otherwise what follows the last map is left out, or not trained.
        freeze_batchnorm: keep all batch norms at their statistics, scale and shift.
        frozen_blocks: how many of the parts up to the maps of stride 2, 4, 8, 16 and 32 keep their weights: 1
            is the stem.

    Raises:
        ImportError: timm is not installed.
        ValueError: if there is no such model, it does not give these maps, or the weights cannot be had or do
            not fit.
    """

    family = "timm"

    def __init__(
        self,
        name: str,
        weights: str | None = "imagenet",
        strides: Sequence[int] = NEEDED,
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
    ) -> None:
        super().__init__(freeze_batchnorm, frozen_blocks)
        levels = find_levels(name)
        if not strides or not set(strides) <= set(levels) or list(strides) != sorted(set(strides)):
            raise ValueError(
                f"timm's {name} has maps of strides {list(levels)}, in this order, not {list(strides)}: "
                "set model.backbone.strides=[8,16,32], say."
            )
        self.strides = tuple(strides)
        self.channels = tuple(levels[stride].channels for stride in strides)
        self._name = name
        # The last stage waits for a head that takes it.
        self._built = [levels[stride] for stride in ((16, 32) if self.strides == (16,) else strides)]
        self.net = create(name, weights == "imagenet", self._built)
        settings: Any = self.net.pretrained_cfg
        red, green, blue = (255 * value for value in settings["mean"])
        self.mean = red, green, blue
        red, green, blue = (255 * value for value in settings["std"])
        self.std = red, green, blue
        if weights not in (None, "imagenet"):
            load_file(self.net, weights)
        separate_activations(self.net)
        self._levels = list(levels.values())
        try_out(name, self.net, self._built)
        if frozen_blocks and not self._consists_of_blocks():
            raise ValueError(
                f"timm's {name} does not come in parts that follow one another: set "
                "model.backbone.frozen_blocks=0."
            )
        self.train()

    def take_last_stage(self) -> tuple[nn.Module, int]:
        """See ``Backbone``."""
        if len(self._built) != len(self.strides) + 1:
            raise ValueError(
                f"This needs a backbone of its own with strides (16,), whose last stage is free; got strides "
                f"{self.strides}. Set model.backbone.strides=[16]."
            )
        stage = take_stage(self._name, self.net, self._levels)
        return stage, self._built.pop().channels

    def blocks(self) -> Sequence[nn.Module]:
        """The parts up to the maps of stride 2, 4, 8, 16 and 32; those that were left out are empty."""
        return split_into_blocks(self.net, self._levels)

    def _consists_of_blocks(self) -> bool:
        """Whether each of its tensors is in one of its blocks."""
        known = {id(parameter) for block in self.blocks() for parameter in block.parameters()}
        return known == {id(parameter) for parameter in self.net.parameters()}

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps described by ``strides``."""
        return feature_maps(self.net, images)[: len(self.strides)]
