"""Detectors by the names they are published under."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from detection.models.backbones import (
    Backbone,
    MobileNetV2Backbone,
    MobileNetV2TensorFlowBackbone,
    MobileNetV3LargeBackbone,
    ResNetBackbone,
    VGG16AtrousBackbone,
)
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.faster_rcnn_torchvision import build_faster_rcnn_fpn_v2, build_faster_rcnn_mobilenet_v3
from detection.models.presets import PRESETS
from detection.models.published_weights import published_weights
from detection.models.ssd import SSD
from detection.validation.arguments import check_arguments
from detection.validation.suggestions import nearest

# The names, sizes and anchors are GluonCV's; four of its backbones have no counterpart in torchvision:
#   resnet*_v1      strides on a bottleneck's first 1x1; ours on the 3x3
#   resnet101_v2    pre-activation, tapped inside blocks; ours is ResNet-101 v1.5, tapped at stage ends
#   mobilenet1.0    MobileNetV1; ours is MobileNetV2 with SSDLite heads
#   resnet101_v1d   a stem of three 3x3 and average pooling in the shortcuts; ours is ResNet-101 v1.5, whose
#                   stem is one 7x7
# resnet*_v1b is torchvision's ResNet. GluonCV has no pyramids for VOC: those are named after its others.
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


def _frozen_resnet(depth: int, strides: tuple[int, ...]) -> Callable[[str | None], Backbone]:
    """A ResNet whose batch norms, stem and layer1 are frozen, as in the published Faster R-CNNs."""
    return partial(ResNetBackbone, depth, strides=strides, freeze_batchnorm=True, frozen_blocks=2)


# For images with a short side of about 300 pixels and backbones with strides 8, 16 and 32; the numbers and
# the reasons for them are those of conf/model/faster_rcnn_light.yaml.
_build_light = partial(
    build_faster_rcnn_fpn,
    channels=128,
    dense_channels=512,
    anchor_sizes=(32, 64, 128, 256),
    pre_nms_top=(1000, 500),
    post_nms_top=(500, 300),
    min_size=4,
    canonical_size=112,
)
_FASTER_RCNNS: dict[str, tuple[Callable[..., FasterRCNN], Callable[[str | None], Backbone]]] = {
    "faster_rcnn_resnet50_v1b": (build_faster_rcnn_c4, _frozen_resnet(50, (16,))),
    "faster_rcnn_resnet101_v1d": (build_faster_rcnn_c4, _frozen_resnet(101, (16,))),
    "faster_rcnn_fpn_resnet50_v1b": (build_faster_rcnn_fpn, _frozen_resnet(50, (4, 8, 16, 32))),
    "faster_rcnn_fpn_mobilenet_v2": (
        _build_light,
        partial(MobileNetV2Backbone, freeze_batchnorm=True, frozen_blocks=4),
    ),
}
_build_mobilenet_v3 = partial(
    MobileNetV3LargeBackbone, freeze_batchnorm=True, frozen_blocks=7, strides=(32, 32)
)
# Those of COCO, by the names of torchvision's and TensorFlow's weights.
_COCO_SSDS: dict[str, tuple[int, Callable[[str | None], Backbone]]] = {
    "ssd_300_mobilenet_v2": (300, MobileNetV2TensorFlowBackbone),
    "ssdlite320_mobilenet_v3_large": (320, partial(MobileNetV3LargeBackbone, reduced_tail=True)),
}
_COCO_FASTER_RCNNS: dict[str, tuple[Callable[..., FasterRCNN], Callable[[str | None], Backbone]]] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        partial(build_faster_rcnn_mobilenet_v3, pre_nms_top=(2000, 150), post_nms_top=(2000, 150)),
        _build_mobilenet_v3,
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": (build_faster_rcnn_mobilenet_v3, _build_mobilenet_v3),
    "fasterrcnn_resnet50_fpn_v2": (build_faster_rcnn_fpn_v2, _frozen_resnet(50, (4, 8, 16, 32))),
}
_WEIGHTS = {name: f"torchvision/{name}" for name in (*_COCO_SSDS, *_COCO_FASTER_RCNNS)} | {
    "ssd_300_mobilenet_v2": "tensorflow/ssd_mobilenet_v2_coco"
}
MODEL_NAMES = (
    *(f"{name}_{dataset}" for name in (*_SSDS, *_FASTER_RCNNS) for dataset in ("voc", "custom")),
    *(f"{name}_{dataset}" for name in _WEIGHTS for dataset in ("coco", "custom")),
)


def get_model(
    name: str,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    pretrained_backbone: bool | str = True,
    **overrides: Any,
) -> SSD | FasterRCNN:
    """Builds a detector by name. Its anchors and layers are those published for VOC or COCO.

    Args:
        name: one of ``MODEL_NAMES``, in any case. ``..._custom`` is the same network for other classes.
        num_classes: without background; 20 for ``..._voc`` and 80 for ``..._coco`` unless given.
        classes: the names of the classes, in place of their number.
        pretrained_backbone: True for ImageNet weights, and those trained on COCO for the names that are
            published for it; False for random ones; or the path of a file.
        **overrides: arguments of ``SSD``, or of the function that builds the Faster R-CNN, which replace
            the published ones, such as ``anchor_sizes``.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for an unknown name, missing or contradictory classes, or weights that cannot be had.
    """
    check_arguments(
        get_model, {"name": name, "num_classes": num_classes, "pretrained_backbone": pretrained_backbone}
    )
    known = name.lower()
    if known not in MODEL_NAMES:
        near = nearest(known, MODEL_NAMES)
        hint = f" Did you mean {near!r}?" if near else ""
        raise ValueError(f"There is no model {name!r}.{hint} The models are: {', '.join(MODEL_NAMES)}.")
    base, _, dataset = known.rpartition("_")
    num_classes = _count_classes(num_classes, classes, default={"voc": 20, "coco": 80}.get(dataset))
    if isinstance(pretrained_backbone, str):
        weights: str | None = pretrained_backbone
    else:
        weights = "imagenet" if pretrained_backbone and base not in _WEIGHTS else None
    detectors, ssds = _FASTER_RCNNS | _COCO_FASTER_RCNNS, _SSDS | _COCO_SSDS
    backbone = (detectors[base] if base in detectors else ssds[base])[1](weights)
    if pretrained_backbone is True and base in _WEIGHTS:
        state = published_weights(_WEIGHTS[base]).items()
        part = {key.removeprefix("backbone."): value for key, value in state if key.startswith("backbone.")}
        backbone.load_state_dict(part)
    if base in detectors:
        return detectors[base][0](backbone, num_classes, **overrides)
    size = ssds[base][0]
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
