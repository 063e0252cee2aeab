"""Models of the library timm, those that give feature maps."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from detection.bounds import Natural
from detection.models.backbones.base import Backbone
from detection.models.backbones.timm_features import (
    NEEDED,
    create,
    feature_maps,
    find_levels,
    load_file,
    separate_activations,
    try_out,
)
from detection.models.backbones.timm_parts import split_into_blocks, take_stage


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
