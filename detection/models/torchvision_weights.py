"""torchvision's detectors trained on COCO, under the names of our networks' tensors.

torchvision counts COCO's categories with their gaps: of its 91 classes, background included, ten were never
used ("N/A"). They are dropped, so that scores are shared out among the 80 classes that exist.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
    SSD300_VGG16_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
)

from detection.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD

State = dict[str, Tensor]

_CATEGORIES: list[str] = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
_LABELS = [i for i, name in enumerate(_CATEGORIES) if i > 0 and name != "N/A"]
COCO_CLASSES = tuple(_CATEGORIES[i] for i in _LABELS)
"""The 80 classes, in torchvision's order, which is COCO's."""

_SSD_MEAN = (0.48235 * 255, 0.45882 * 255, 0.40784 * 255)
_CONV4_3 = 23  # torchvision cuts VGG in two after this many layers
_SSD_ANCHORS = (4, 6, 6, 6, 4, 4)  # of a cell of each map
_SSDLITE_ANCHORS = 6  # of a cell of every map

_FASTER_RCNN_PREFIXES = {  # theirs to ours; the first that fits counts
    "backbone.body.": "backbone.",
    "backbone.fpn.": "neck.",
    "rpn.head.conv.0.0.": "rpn.conv.",
    "rpn.head.conv.": "rpn.conv.",  # in files older than torchvision 0.13, as the published one is
    "rpn.head.cls_logits.": "rpn.score.",
    "rpn.head.bbox_pred.": "rpn.box.",
    "roi_heads.box_head.fc6.": "roi_head.body.1.",
    "roi_heads.box_head.fc7.": "roi_head.body.3.",
    "roi_heads.box_predictor.cls_score.": "roi_head.class_predictor.",
    "roi_heads.box_predictor.bbox_pred.": "roi_head.box_predictor.",
}
_MOBILENET_PREFIXES = {**_FASTER_RCNN_PREFIXES, "backbone.body.": "backbone.features."}
_V2_PREFIXES = {
    "roi_heads.box_head.": "roi_head.body.",
    "rpn.head.conv.1.0.": "rpn.deeper.1.",
    **_FASTER_RCNN_PREFIXES,
}


def convert_ssd300_vgg16(state: Mapping[str, Tensor]) -> State:
    """Renames the tensors of ``ssd300_vgg16`` to those of our SSD of 80 classes on the atrous VGG16.

    Its anchors are not in the file: they have ``anchor_sizes`` 21, 45, 99, 153, 207, 261, 315, and no side
    is longer than 300 pixels.

    Args:
        state: of torchvision's network of 91 classes.

    Raises:
        ValueError: if its predictors are for another number of classes.
    """
    converted = {_ssd_key(key): value for key, value in state.items()}
    for key in [key for key in converted if key.startswith("class_heads.")]:
        num_anchors = _SSD_ANCHORS[int(key.split(".")[1])]
        converted[key] = existing_rows(converted[key], num_anchors, key, background=True)
    converted["mean"] = torch.tensor(_SSD_MEAN).view(1, 3, 1, 1)
    converted["std"] = torch.ones(1, 3, 1, 1)
    return converted


def _ssd_key(key: str) -> str:
    parts = key.split(".")
    name = parts[-1]
    match parts[:-1]:
        case ["backbone"]:
            return "backbone.norm4.scale"
        case ["backbone", "extra", "0", "7", layer]:
            return f"backbone.{'fc6' if layer == '1' else 'fc7'}.{name}"
        case ["backbone", "extra", "0", layer]:
            return f"backbone.features.{int(layer) + _CONV4_3}.{name}"
        case ["backbone", "extra", extra, layer]:
            return f"extras.{int(extra) - 1}.{layer}.{name}"
        case ["head", "classification_head", "module_list", level]:
            return f"class_heads.{level}.0.{name}"
        case ["head", "regression_head", "module_list", level]:
            return f"box_heads.{level}.0.{name}"
    return key


def convert_ssdlite320_mobilenet_v3_large(state: Mapping[str, Tensor]) -> State:
    """Renames the tensors of ``ssdlite320_mobilenet_v3_large`` to those of our SSD of 80 classes.

    Args:
        state: of torchvision's network of 91 classes.

    Raises:
        ValueError: if its predictors are for another number of classes.
    """
    converted = {_ssdlite_key(key): value for key, value in state.items()}
    for key in [key for key in converted if key.startswith("class_heads.") and key.split(".")[2] == "3"]:
        converted[key] = existing_rows(converted[key], _SSDLITE_ANCHORS, key, background=True)
    converted["mean"] = converted["std"] = torch.full((1, 3, 1, 1), 127.5)
    return converted


def _ssdlite_key(key: str) -> str:
    match key.split("."):
        case ["backbone", "features", "0", "13", *rest]:  # the expansion of the block that gives a map
            return ".".join(["backbone.features.13.block.0", *rest])
        case ["backbone", "features", "0", *rest]:
            return ".".join(["backbone.features", *rest])
        case ["backbone", "features", "1", "0", *rest]:  # the rest of that block
            return ".".join(["backbone.features.13.block", *rest])
        case ["backbone", "features", "1", block, *rest]:
            return ".".join([f"backbone.features.{int(block) + 13}", *rest])
        case ["backbone", "extra", extra, conv, layer, name]:
            return f"extras.{extra}.{3 * int(conv) + int(layer)}.{name}"
        case ["head", kind, "module_list", level, *place, name]:
            heads = "class_heads" if kind == "classification_head" else "box_heads"
            layer = "3" if place == ["1"] else place[-1]
            return f"{heads}.{level}.{layer}.{name}"
    return key


def convert_fasterrcnn_resnet50_fpn(state: Mapping[str, Tensor]) -> State:
    """Renames the tensors of ``fasterrcnn_resnet50_fpn`` to those of ``build_faster_rcnn_fpn``, 80 classes.

    torchvision predicts a box for the background too, which nothing uses: its rows are dropped.

    Batch norm divides by the root of ``variance + eps``. The published weights want an eps of 0, ours is
    1e-5: the difference goes into the scale. A file without counters of batches, as frozen batch norms
    write it, is taken for such; one with counters has 1e-5, as in a training of one's own.

    Args:
        state: of torchvision's network of 91 classes.

    Raises:
        ValueError: if its predictors are for another number of classes.
    """
    converted = _convert_faster_rcnn(state, _FASTER_RCNN_PREFIXES)
    for norm in _norms(converted):
        if f"{norm}.num_batches_tracked" not in converted:
            _move_to_eps(converted, norm, 0, 1e-5)
    return converted


def convert_fasterrcnn_mobilenet_v3_large_fpn(state: Mapping[str, Tensor]) -> State:
    """Renames the tensors of torchvision's two Faster R-CNNs on MobileNetV3 to those of ours, 80 classes.

    Batch norms have an eps of 1e-5 there, and that of MobileNetV3, 1e-3, here: the difference goes into the
    scale.

    Args:
        state: of torchvision's network of 91 classes.

    Raises:
        ValueError: if its predictors are for another number of classes.
    """
    converted = _convert_faster_rcnn(state, _MOBILENET_PREFIXES)
    for norm in _norms(converted):
        _move_to_eps(converted, norm, 1e-5, 1e-3)
    return converted


def convert_fasterrcnn_resnet50_fpn_v2(state: Mapping[str, Tensor]) -> State:
    """Renames the tensors of ``fasterrcnn_resnet50_fpn_v2`` to those of ours, 80 classes.

    Args:
        state: of torchvision's network of 91 classes.

    Raises:
        ValueError: if its predictors are for another number of classes.
    """
    return _convert_faster_rcnn(state, _V2_PREFIXES)


def _convert_faster_rcnn(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> State:
    converted = {_renamed(key, prefixes): value for key, value in state.items()}
    for key in [key for key in converted if key.startswith("roi_head.class_predictor.")]:
        converted[key] = existing_rows(converted[key], 1, key, background=True)
    for key in [key for key in converted if key.startswith("roi_head.box_predictor.")]:
        converted[key] = existing_rows(converted[key], 1, key, background=False)
    converted["mean"] = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    converted["std"] = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return converted


def _renamed(key: str, prefixes: Mapping[str, str]) -> str:
    for theirs, ours in prefixes.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def _norms(state: State) -> list[str]:
    """The names of the batch norms."""
    return [key.removesuffix(".running_var") for key in state if key.endswith(".running_var")]


def _move_to_eps(state: State, norm: str, theirs: float, ours: float) -> None:
    """Let a batch norm do with our eps what it did with theirs."""
    scale, variance = state[f"{norm}.weight"], state[f"{norm}.running_var"].double()
    factor = ((variance + ours) / (variance + theirs)).sqrt()
    state[f"{norm}.weight"] = (scale.double() * factor).to(scale.dtype)
    state[f"{norm}.num_batches_tracked"] = torch.tensor(0)


def existing_rows(tensor: Tensor, num_anchors: int, key: str, background: bool) -> Tensor:
    """Of a predictor's rows for 91 classes those for the 80 that exist, and for the background.

    Args:
        tensor: weights or biases, ``(num_anchors * 91, ...)``, or four times as many rows for boxes.
        num_anchors: of a cell.
        key: the name of the tensor, for the error message.
        background: of classes, with the background's row; or of boxes, without.

    Raises:
        ValueError: if it predicts another number of classes.
    """
    numbers = 1 if background else 4
    num_rows = tensor.shape[0] if tensor.ndim else 0
    if num_rows != num_anchors * len(_CATEGORIES) * numbers:
        raise ValueError(
            f"{key} predicts {num_rows // (num_anchors * numbers)} classes in this file, background "
            f"included; published weights for COCO have {len(_CATEGORIES)}. Which classes others are "
            "cannot be known from the file."
        )
    rows = ([0] if background else []) + _LABELS
    by_class = tensor.unflatten(0, (num_anchors, len(_CATEGORIES), numbers))
    existing: Tensor = by_class[:, rows].flatten(0, 2)
    return existing


class Published(NamedTuple):
    """Weights that torchvision publishes."""

    url: str
    convert: Callable[[Mapping[str, Tensor]], State]


PUBLISHED = {
    "ssd300_vgg16": Published(SSD300_VGG16_Weights.COCO_V1.url, convert_ssd300_vgg16),
    "fasterrcnn_resnet50_fpn": Published(
        FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url, convert_fasterrcnn_resnet50_fpn
    ),
    "ssdlite320_mobilenet_v3_large": Published(
        SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.url, convert_ssdlite320_mobilenet_v3_large
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Published(
        FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1.url, convert_fasterrcnn_mobilenet_v3_large_fpn
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": Published(
        FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1.url, convert_fasterrcnn_mobilenet_v3_large_fpn
    ),
    "fasterrcnn_resnet50_fpn_v2": Published(
        FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.url, convert_fasterrcnn_resnet50_fpn_v2
    ),
}
"""By torchvision's names."""
