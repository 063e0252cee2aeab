"""The published Faster R-CNNs, from a backbone and plain numbers."""

from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from detection.bounds import Candidates, Cells, Channels, Count, Few, Least, Length, Pair, Ratio, Share, Side
from detection.models.backbones import Backbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.roi_head import DenseBody, Layer4Body, RoIHead
from detection.models.rpn import RPN
from detection.ops.rpn_anchors import fpn_base_anchors, rpn_base_anchors


def build_faster_rcnn_c4(
    backbone: Backbone,
    num_classes: int,
    *,
    rpn_channels: Channels = 1024,
    anchor_scales: Few[Ratio] = (2, 4, 8, 16, 32),
    anchor_ratios: Few[Ratio] = (0.5, 1, 2),
    pre_nms_top: Pair[Candidates] = (12000, 6000),
    post_nms_top: Pair[Count] = (2000, 300),
    rpn_nms_threshold: Share = 0.7,
    min_size: Least = 16,
    pooled_size: Cells = 14,
) -> FasterRCNN:
    """Builds Faster R-CNN on the map of stride 16; the backbone's last stage is the body of the second stage.

    The defaults are GluonCV's for VOC, for images with a short side of 600 pixels.

    Args:
        backbone: with strides ``(16,)``; it gives its last stage away, a ResNet its layer4.
        num_classes: without background.
        rpn_channels: of the RPN's hidden convolution.
        anchor_scales: sides of the square anchors in units of 16 pixels.
        anchor_ratios: height / width.
        pre_nms_top: best anchors that enter suppression, in training and in evaluation.
        post_nms_top: proposals per image, in training and in evaluation.
        rpn_nms_threshold: of two proposals that overlap more, the weaker is dropped.
        min_size: proposals with a smaller side, in pixels, are dropped.
        pooled_size: side in cells of a region after RoIAlign; the last stage halves it.

    Raises:
        ValueError: for a backbone whose last stage cannot be taken.
    """
    base_anchors = rpn_base_anchors(16, anchor_ratios, anchor_scales)
    body = Layer4Body(*backbone.take_last_stage())
    rpn = RPN(
        backbone.channels[0],
        rpn_channels,
        [base_anchors],
        backbone.strides,
        pre_nms_top,
        post_nms_top,
        rpn_nms_threshold,
        min_size,
    )
    return FasterRCNN(backbone, None, rpn, RoIHead(body, num_classes, backbone.strides, pooled_size))


def build_faster_rcnn_fpn(
    backbone: Backbone,
    num_classes: int,
    *,
    channels: Channels = 256,
    dense_channels: Channels = 1024,
    anchor_sizes: Few[Length] = (32, 64, 128, 256, 512),
    anchor_ratios: Few[Ratio] = (0.5, 1, 2),
    pre_nms_top: Pair[Candidates] = (2000, 1000),
    post_nms_top: Pair[Count] = (2000, 1000),
    rpn_nms_threshold: Share = 0.7,
    min_size: Least = 1,
    pooled_size: Cells = 7,
    canonical_size: Side = 224,
    fit_strides: bool = False,
) -> FasterRCNN:
    """Builds Faster R-CNN on a pyramid of the backbone's maps and one more of twice the last stride.

    The defaults are torchvision's for COCO, but for ``min_size`` and ``fit_strides``: nothing published is
    for VOC.

    Args:
        backbone: any; its strides must double from map to map.
        num_classes: without background.
        channels: of the pyramid and of the RPN's hidden convolution.
        dense_channels: of the two dense layers of the second stage.
        anchor_sizes: side in pixels of the square anchor of each map of the pyramid.
        anchor_ratios: height / width.
        pre_nms_top: best anchors of each map that enter suppression, in training and in evaluation.
        post_nms_top: proposals per image, in training and in evaluation.
        rpn_nms_threshold: of two proposals that overlap more, the weaker is dropped.
        min_size: proposals with a smaller side, in pixels, are dropped.
        pooled_size: side in cells of a region after RoIAlign.
        canonical_size: side in pixels of a region that is cut from the map of stride 16.
        fit_strides: see ``RPN``; for weights that torchvision trained.

    Raises:
        ValueError: if there is not one anchor size per map, or the strides do not double.
    """
    strides = (*backbone.strides, 2 * backbone.strides[-1])
    _check_pyramid(strides, anchor_sizes)
    neck = FeaturePyramidNetwork(list(backbone.channels), channels, LastLevelMaxPool())
    rpn = RPN(
        channels,
        channels,
        [fpn_base_anchors(size, anchor_ratios) for size in anchor_sizes],
        strides,
        pre_nms_top,
        post_nms_top,
        rpn_nms_threshold,
        min_size,
        fit_strides,
    )
    body = DenseBody(channels, pooled_size, dense_channels)
    # As in torchvision; with Fast R-CNN's smaller weights three epochs of VOC 2007 end at mAP 0.39, not 0.46.
    roi_head = RoIHead(body, num_classes, backbone.strides, pooled_size, canonical_size, predictor_stds=None)
    return FasterRCNN(backbone, neck, rpn, roi_head)


def _check_pyramid(strides: tuple[int, ...], anchor_sizes: Few[Length]) -> None:
    if strides != tuple(strides[0] * 2**level for level in range(len(strides))):
        raise ValueError(
            f"The pyramid needs maps whose strides double, not {strides[:-1]}: set "
            "model.backbone.strides=[8,16,32], or [4,8,16,32] where the backbone has these."
        )
    if len(anchor_sizes) != len(strides):
        usual = ",".join(str(8 * stride) for stride in strides)
        raise ValueError(
            f"The pyramid has {len(strides)} maps, of strides {strides}, and needs one of anchor_sizes for "
            f"each, not {list(anchor_sizes)}: set model.network.anchor_sizes=[{usual}], say."
        )
