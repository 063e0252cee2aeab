"""SSD: Single Shot MultiBox Detector (Liu et al., ECCV 2016).

Shapes: B images, C classes without background, A anchors over all feature maps, K anchors per cell of
one map. Logits have C + 1 channels; channel 0 is background.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from detection.bounds import Few, FewOrNone, Length, Ratio, Size, Step, Stride, height_and_width
from detection.models.backbones import Backbone
from detection.models.presets import ExtraNumbers, nearest_preset
from detection.models.ssd_layers import (
    Extra,
    LiteBatchNorm2d,
    Pyramid,
    check_arguments,
    extra_layers,
    prediction_head,
    predictor,
    unfit_sizes_in_a_sentence,
)
from detection.models.transfer import check_names, copy_class_predictor, match_classes
from detection.ops.anchors import fitted_steps, in_order_of_anchors, ssd_anchors
from detection.ops.postprocess import select_detections
from detection.types import Detections

_Sides = tuple[int, int]  # height and width
BOX_STDS = (0.1, 0.1, 0.2, 0.2)
"""Deltas are divided by these when encoded (the "variances" of the original implementation)."""


class SSDOutput(NamedTuple):
    """The raw predictions, the same in training and evaluation."""

    logits: Tensor
    """``(B, A, C + 1)``, before softmax; 0 is background."""
    deltas: Tensor
    """``(B, A, 4)``, relative to the anchors."""
    anchors: Tensor
    """float32 ``(A, 4)`` xyxy, in pixels of the input."""


class SSD(nn.Module):
    """A backbone, extra layers that shrink its last map further, and two predictors on every map.

    Args:
        backbone: gives the finest maps.
        num_classes: C, without background.
        strides: which of the backbone's maps to use, finest first; the extras follow the last.
        extras: ``(mid_channels, out_channels, kernel, stride, padding)`` of each extra layer.
        anchor_sizes: in pixels, one more than there are maps; see ``ssd_anchors``.
        anchor_ratios: one list per map.
        anchor_steps: pixels per cell, one number or (down, right) per map. Sizes stay as given for inputs of
            any size, and so do steps, unless ``build_ssd`` knows of which input they are.
        extras_batchnorm: whether the extra layers have batch norm, as fits the backbone.
        max_anchor_side: in pixels; longer sides of anchors are cut to it.
        lite_heads: predict with a depthwise and a 1x1 convolution in place of a full 3x3 (SSDLite,
            MobileNetV2 paper, section 6.2).
        separable_extras: build those, and the batch norms of lite heads, as SSDLite was published.
        same_padding: of separable extras, as TensorFlow pads.
        reduced_finest: the finest map has one anchor less; see ``ssd_anchors``.
        neck: ``fpn`` makes a pyramid of all maps before the predictors, see ``Pyramid``; None for none.

    Raises:
        ValueError: if the numbers of maps, sizes, ratios and steps disagree, or the backbone has no map
            of a stride.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        strides: Few[Stride],
        extras: FewOrNone[ExtraNumbers],
        anchor_sizes: Few[Length],
        anchor_ratios: Few[Few[Ratio]],
        anchor_steps: Few[Step],
        max_anchor_side: Length = math.inf,
        extras_batchnorm: bool = True,
        lite_heads: bool = False,
        separable_extras: bool = False,
        same_padding: bool = False,
        reduced_finest: bool = False,
        neck: Literal["fpn"] | None = None,
    ) -> None:
        super().__init__()
        check_arguments(backbone, strides, extras, anchor_sizes, anchor_ratios, anchor_steps)
        self.num_classes = num_classes
        self.anchor_sizes, self.anchor_ratios, self.anchor_steps = anchor_sizes, anchor_ratios, anchor_steps
        self.max_anchor_side, self.reduced_finest = max_anchor_side, reduced_finest
        self.steps_for: tuple[int, int] | None = None
        """``(height, width)`` of the inputs of ``anchor_steps``; over others the cells are spread evenly."""
        self._num_anchors = [len(ratios) + 1 for ratios in anchor_ratios]  # of a cell of each map
        self._num_anchors[0] -= reduced_finest
        self.backbone = backbone
        self._taps = [backbone.strides.index(stride) for stride in strides]
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

        channels = [backbone.channels[tap] for tap in self._taps]
        layers = extra_layers(channels[-1], extras, separable_extras, same_padding, extras_batchnorm)
        self.extras = nn.ModuleList(layers)
        channels += [layer[1] for layer in extras]
        self.neck = Pyramid(channels) if neck else None
        channels = [self.neck.out_channels] * len(channels) if self.neck else channels

        self.class_heads, self.box_heads = nn.ModuleList(), nn.ModuleList()
        norms = [LiteBatchNorm2d if separable_extras else nn.BatchNorm2d] * (len(channels) - 1)
        last_norm = LiteBatchNorm2d if separable_extras else None
        for in_channels, num, norm in zip(channels, self._num_anchors, [*norms, last_norm], strict=True):
            self.class_heads.append(prediction_head(in_channels, num * (num_classes + 1), lite_heads, norm))
            self.box_heads.append(prediction_head(in_channels, num * 4, lite_heads, norm))

    def forward(self, images: Tensor) -> SSDOutput:
        """Predicts classes and boxes for every anchor.

        Args:
            images: ``(B, 3, H, W)`` RGB on the scale 0..255, uint8 or float, of any H and W.

        Raises:
            ValueError: if the images are too small for the last extra layers.
        """
        maps = self.feature_maps((images.to(self.mean.dtype) - self.mean) / self.std)
        logits = [
            in_order_of_anchors(head(x), self.num_classes + 1)
            for head, x in zip(self.class_heads, maps, strict=True)
        ]
        deltas = [in_order_of_anchors(head(x), 4) for head, x in zip(self.box_heads, maps, strict=True)]
        size = images.shape[2], images.shape[3]
        anchors = self._anchors([(x.shape[2], x.shape[3]) for x in maps], size, images.device)
        return SSDOutput(torch.cat(logits, dim=1), torch.cat(deltas, dim=1), anchors)

    def anchors_over(self, image_size: tuple[int, int]) -> Tensor:
        """Lays the anchors over an input, without running the network.

        Args:
            image_size: ``(height, width)`` in pixels.

        Returns:
            float32 ``(A, 4)`` xyxy on the CPU, as ``forward`` gives them.

        Raises:
            ValueError: if the input is too small for the last extra layers.
        """
        return self._anchors(self.feature_sizes(image_size), image_size, None)

    @torch.no_grad()
    def feature_sizes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """``(height, width)`` in cells of each map over an input; see ``anchors_over``."""
        # On the meta device shapes are computed, values are not.
        ghost = copy.deepcopy(self).to("meta").eval()
        with unfit_sizes_in_a_sentence(image_size, self.backbone.strides[-1]):
            maps = ghost.feature_maps(torch.empty(1, 3, *image_size, device="meta"))
        return [(x.shape[2], x.shape[3]) for x in maps]

    def num_anchors(self, image_size: tuple[int, int]) -> int:
        """How many anchors an input of ``(height, width)`` pixels has; see ``anchors_over``."""
        cells = (height * width for height, width in self.feature_sizes(image_size))
        return sum(count * num for count, num in zip(cells, self._num_anchors, strict=True))

    def _anchors(self, cells: Sequence[_Sides], image_size: _Sides, device: torch.device | None) -> Tensor:
        as_given = self.steps_for in (None, image_size)
        return ssd_anchors(
            cells,
            self.anchor_steps if as_given else fitted_steps(cells, image_size),
            self.anchor_sizes,
            self.anchor_ratios,
            device,
            self.max_anchor_side,
            self.reduced_finest,
        )

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Returns the maps that are predicted from, finest first, for normalised images."""
        backbone_maps = self.backbone(images)
        maps = [backbone_maps[tap] for tap in self._taps]
        for extra in self.extras:
            assert isinstance(extra, Extra)
            extra.refuse_too_small(maps[-1], images)
            maps.append(extra(maps[-1]))
        return self.neck(maps) if self.neck is not None else maps

    @torch.no_grad()
    def detect(
        self,
        output: SSDOutput,
        image_size: tuple[int, int],
        score_threshold: float = 0.01,
        nms_threshold: float = 0.45,
        topk: int = 400,
        max_detections: int = 100,
        topk_per_class: bool = False,
    ) -> list[Detections]:
        """Turns raw predictions into detections (SSD paper, section 3, "Inference time").

        Args:
            output: what ``forward`` returned.
            image_size: ``(height, width)`` of the input, to which boxes are clipped.
            score_threshold: a class counts for an anchor only above it.
            nms_threshold: of two boxes of one class that overlap more, the weaker is dropped.
            topk: candidates per image, over all classes, that enter suppression.
            max_detections: kept per image.
            topk_per_class: whether ``topk`` counts each class by itself.

        Returns:
            One per image.
        """
        thresholds = score_threshold, nms_threshold
        return select_detections(
            *output, image_size, BOX_STDS, *thresholds, topk, max_detections, topk_per_class
        )

    def reset_classes(
        self, old_names: Sequence[str], new_names: Sequence[str], reuse: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Makes the network predict other classes: those it knew keep their weights, others start anew.

        Its class predictors are new parameters: call it before the optimizer is made.

        Args:
            old_names: of the classes it predicts, in label order.
            new_names: of the classes to predict, in label order.
            reuse: see ``match_classes``.

        Returns:
            The classes that kept their weights, as ``{new name: old name}``.

        Raises:
            ValueError: if the names do not fit the network, each other or ``reuse``.
        """
        check_names(old_names, new_names, self.num_classes)
        kept = match_classes(old_names, new_names, reuse)
        for head, num_anchors in zip(self.class_heads, self._num_anchors, strict=True):
            assert isinstance(head, nn.Sequential)
            old = head[-1]
            assert isinstance(old, nn.Conv2d)
            new = predictor(old.in_channels, num_anchors * (len(new_names) + 1), old.kernel_size[0])
            copy_class_predictor(old, new.to(old.weight), kept, num_anchors)
            head[-1] = new
        self.num_classes = len(new_names)
        return {new_names[new]: old_names[old] for new, old in kept.items()}


def build_ssd(
    backbone: Backbone,
    num_classes: int,
    size: Size,
    anchor_sizes: Few[Length] | None = None,
    max_anchor_side: Length | None = None,
    anchor_steps: Few[Step] | None = None,
    anchors_for: Size | None = None,
    anchor_ratios: Few[Few[Ratio]] | None = None,
    neck: Literal["fpn"] | None = None,
) -> SSD:
    """Builds the published SSD for a backbone and an input size; see ``preset_by_rule`` where there is none.

    Extra layers and anchors are those published for the nearest size with maps that the backbone has. At
    other sizes anchors grow with the root of the input's area, and the cells of each map cover it evenly.

    Args:
        backbone: one of ``detection.models.backbones``.
        num_classes: without background.
        size: side, or height and width, of the inputs in pixels.
        anchor_sizes: in place of the published ones, in pixels of ``anchors_for``; see ``SSD``.
        max_anchor_side: in place of the published one, in pixels of ``anchors_for``; see ``SSD``.
        anchor_steps: in place of those that follow from ``size``; see ``SSD``.
        anchors_for: inputs that the anchors are meant for, from which they grow; by default the size they
            were published for, and ``size`` for given ``anchor_sizes``.
        anchor_ratios: in place of the published ones, for each map; see ``SSD``.
        neck: see ``SSD``; behind one the predictors are 3x3 convolutions, whose input is narrow.

    Raises:
        ValueError: if nothing was published for maps of the backbone's strides, or the inputs are too small.
    """
    image_size = height_and_width(size)
    native, preset = nearest_preset(backbone.family, backbone.strides, max(image_size))
    steps_for = native if anchors_for is None else anchors_for
    sizes_for = size if anchors_for is None and anchor_sizes is not None else steps_for
    growth = math.sqrt(math.prod(image_size) / math.prod(height_and_width(sizes_for)))
    sides = [growth * side for side in anchor_sizes or preset.anchor_sizes]
    numbers: dict[str, Any] = {"anchor_sizes": sides, "anchor_steps": anchor_steps or preset.anchor_steps}
    numbers["anchor_ratios"] = anchor_ratios or preset.anchor_ratios
    numbers["max_anchor_side"] = growth * (max_anchor_side or preset.max_anchor_side)
    if neck:
        numbers |= {"neck": neck, "lite_heads": False}
    network = SSD(backbone, num_classes, **vars(preset) | numbers)
    if anchor_steps is None and image_size != height_and_width(steps_for):
        network.anchor_steps = fitted_steps(network.feature_sizes(image_size), image_size)
    network.steps_for = image_size
    return network
