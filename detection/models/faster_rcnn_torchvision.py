"""The light and the best Faster R-CNN that torchvision publishes, from a backbone and plain numbers."""

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from detection.bounds import Candidates, Count, Least, Pair, Share
from detection.models.backbones import Backbone
from detection.models.backbones.base import freeze_batchnorm
from detection.models.faster_rcnn import FasterRCNN
from detection.models.roi_head import ConvDenseBody, DenseBody, RoIHead
from detection.models.rpn import RPN
from detection.ops.rpn_anchors import fpn_base_anchors

_CHANNELS = 256
_DENSE_CHANNELS = 1024
_POOLED_SIZE = 7
_RATIOS = (0.5, 1, 2)
_SIZES = (32, 64, 128, 256, 512)


class FrozenNormPyramid(FeaturePyramidNetwork):  # type: ignore[misc]
    """A feature pyramid whose convolutions have batch norms, always frozen: batches of detectors are small.

    Args:
        channels: of the backbone's maps.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(list(channels), _CHANNELS, LastLevelMaxPool(), nn.BatchNorm2d)
        self.train()

    def train(self, mode: bool = True) -> "FrozenNormPyramid":
        """Switches the mode of everything but batch norm."""
        super().train(mode)
        freeze_batchnorm(self)
        return self


def build_faster_rcnn_mobilenet_v3(
    backbone: Backbone,
    num_classes: int,
    *,
    pre_nms_top: Pair[Candidates] = (2000, 1000),
    post_nms_top: Pair[Count] = (2000, 1000),
    rpn_nms_threshold: Share = 0.7,
    rpn_score_threshold: Share = 0.05,
    min_size: Least = 1e-3,
) -> FasterRCNN:
    """Builds torchvision's Faster R-CNN on the two maps of stride 32 of MobileNetV3 and one of stride 64.

    Every map has anchors of all sizes, 15 in a cell. Regions are cut from the first map alone.

    Args:
        backbone: with strides ``(32, 32)``.
        num_classes: without background.
        pre_nms_top: best anchors of each map that enter suppression, in training and in evaluation.
        post_nms_top: proposals per image, in training and in evaluation.
        rpn_nms_threshold: of two proposals that overlap more, the weaker is dropped.
        rpn_score_threshold: proposals with a lower score are dropped.
        min_size: proposals with a smaller side, in pixels, are dropped.

    Raises:
        ValueError: for a backbone with other maps.
    """
    if backbone.strides != (32, 32):
        raise ValueError(
            f"This Faster R-CNN needs maps of strides [32,32], not {list(backbone.strides)}: choose "
            "model/backbone=mobilenet_v3 and model.backbone.strides=[32,32]."
        )
    strides = (32, 32, 64)
    # All sizes of a ratio come before the next ratio.
    base_anchors = torch.stack([fpn_base_anchors(size, _RATIOS) for size in _SIZES], dim=1).flatten(0, 1)
    rpn = RPN(
        _CHANNELS,
        _CHANNELS,
        [base_anchors] * len(strides),
        strides,
        pre_nms_top,
        post_nms_top,
        rpn_nms_threshold,
        min_size,
        fit_strides=True,
        score_threshold=rpn_score_threshold,
    )
    neck = FeaturePyramidNetwork(list(backbone.channels), _CHANNELS, LastLevelMaxPool())
    body = DenseBody(_CHANNELS, _POOLED_SIZE, _DENSE_CHANNELS)
    roi_head = RoIHead(body, num_classes, strides[:1], _POOLED_SIZE, predictor_stds=None)
    return FasterRCNN(backbone, neck, rpn, roi_head)


def build_faster_rcnn_fpn_v2(
    backbone: Backbone,
    num_classes: int,
    *,
    pre_nms_top: Pair[Candidates] = (2000, 1000),
    post_nms_top: Pair[Count] = (2000, 1000),
    rpn_nms_threshold: Share = 0.7,
    min_size: Least = 1e-3,
) -> FasterRCNN:
    """Builds torchvision's second Faster R-CNN on a feature pyramid.

    Its pyramid has batch norms, its RPN two hidden convolutions, its second stage four convolutions and a
    dense layer.

    Args:
        backbone: with strides ``(4, 8, 16, 32)``.
        num_classes: without background.
        pre_nms_top: best anchors of each map that enter suppression, in training and in evaluation.
        post_nms_top: proposals per image, in training and in evaluation.
        rpn_nms_threshold: of two proposals that overlap more, the weaker is dropped.
        min_size: proposals with a smaller side, in pixels, are dropped.

    Raises:
        ValueError: for a backbone with other maps.
    """
    if backbone.strides != (4, 8, 16, 32):
        raise ValueError(
            f"This Faster R-CNN needs maps of strides [4,8,16,32], not {list(backbone.strides)}: set "
            "model.backbone.strides=[4,8,16,32]."
        )
    rpn = RPN(
        _CHANNELS,
        _CHANNELS,
        [fpn_base_anchors(size, _RATIOS) for size in _SIZES],
        (*backbone.strides, 64),
        pre_nms_top,
        post_nms_top,
        rpn_nms_threshold,
        min_size,
        fit_strides=True,
        conv_depth=2,
    )
    body = ConvDenseBody(_CHANNELS, _POOLED_SIZE, _DENSE_CHANNELS)
    roi_head = RoIHead(body, num_classes, backbone.strides, _POOLED_SIZE, predictor_stds=None)
    return FasterRCNN(backbone, FrozenNormPyramid(backbone.channels), rpn, roi_head)
