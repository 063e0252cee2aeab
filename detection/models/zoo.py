"""Detectors by the names they are published under."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from detection.models.backbones import Backbone, MobileNetV2Backbone, ResNetBackbone, VGG16AtrousBackbone
from detection.models.presets import PRESETS
from detection.models.ssd import SSD

# The names, sizes and anchors are GluonCV's; three of its backbones have no counterpart in torchvision:
#   resnet*_v1      strides on a bottleneck's first 1x1; ours on the 3x3
#   resnet101_v2    pre-activation, tapped inside blocks; ours is ResNet-101 v1.5, tapped at stage ends
#   mobilenet1.0    MobileNetV1; ours is MobileNetV2 with SSDLite heads
_SSDS: dict[str, tuple[int, Callable[[str | None], Backbone]]] = {
    "ssd_300_vgg16_atrous": (300, VGG16AtrousBackbone),
    "ssd_512_vgg16_atrous": (512, VGG16AtrousBackbone),
    "ssd_512_resnet18_v1": (512, lambda weights: ResNetBackbone(18, weights)),
    "ssd_512_resnet50_v1": (512, lambda weights: ResNetBackbone(50, weights)),
    "ssd_512_resnet101_v2": (512, lambda weights: ResNetBackbone(101, weights)),
    "ssd_300_resnet34_v1b": (300, lambda weights: ResNetBackbone(34, weights, strides=(8, 16))),
    "ssd_300_mobilenet1.0": (300, MobileNetV2Backbone),
    "ssd_512_mobilenet1.0": (512, MobileNetV2Backbone),
}
MODEL_NAMES = tuple(f"{name}_{dataset}" for name in _SSDS for dataset in ("voc", "custom"))


def get_model(
    name: str,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    pretrained_backbone: bool | str = True,
    **overrides: Any,
) -> SSD:
    """Builds a detector by name. Its anchors and layers are those published for VOC.

    Args:
        name: one of ``MODEL_NAMES``, in any case. ``..._custom`` is the same network for other classes.
        num_classes: without background; 20 for ``..._voc`` unless given.
        classes: the names of the classes, in place of their number.
        pretrained_backbone: True for ImageNet weights, False for random ones, or the path of a file.
        **overrides: arguments of ``SSD`` that replace the published ones, such as ``anchor_sizes``.

    Raises:
        ValueError: for an unknown name, or missing or contradictory classes.
    """
    known = name.lower()
    if known not in MODEL_NAMES:
        close = difflib.get_close_matches(known, MODEL_NAMES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"There is no model {name!r}.{hint} The models are: {', '.join(MODEL_NAMES)}.")
    base, _, dataset = known.rpartition("_")
    size, build_backbone = _SSDS[base]
    num_classes = _count_classes(num_classes, classes, default=20 if dataset == "voc" else None)
    if isinstance(pretrained_backbone, str):
        weights: str | None = pretrained_backbone
    else:
        weights = "imagenet" if pretrained_backbone else None
    backbone = build_backbone(weights)
    return SSD(backbone, num_classes, **(vars(PRESETS[backbone.family, size]) | overrides))


def _count_classes(num_classes: int | None, classes: Sequence[str] | None, default: int | None) -> int:
    if classes is not None:
        repeated = sorted({name for name in classes if list(classes).count(name) > 1})
        if repeated or isinstance(classes, str) or num_classes not in (None, len(classes)):
            raise ValueError(
                f"classes must be a list of distinct names that agrees with num_classes; got "
                f"classes={classes!r} and num_classes={num_classes}."
            )
        num_classes = len(classes)
    num_classes = default if num_classes is None else num_classes
    if num_classes is None or num_classes < 1:
        raise ValueError("A custom model needs at least one class, such as classes=['cat', 'dog'].")
    return num_classes
