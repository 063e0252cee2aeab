"""MobileNetV2 as TensorFlow trained it."""

from collections.abc import Sequence

from torch import nn

from detection.bounds import Natural
from detection.models.backbones.mobilenet import MobileNetV2Backbone
from detection.models.backbones.same_padding import pad_as_tensorflow

EPS = 1e-3
"""Of the batch norms."""


class MobileNetV2TensorFlowBackbone(MobileNetV2Backbone):
    """The layers of ``MobileNetV2Backbone`` with TensorFlow's padding, batch norm and range of colours.

    Its weights are part of a detector's, see ``detection.models.tensorflow_weights``.

    Args:
        weights: the path of a file, or None for random; there are none of ImageNet for it.
        freeze_batchnorm: see ``MobileNetV2Backbone``.
        frozen_blocks: see ``MobileNetV2Backbone``.
        strides: see ``MobileNetV2Backbone``.

    Raises:
        ValueError: for an unknown stride, or if the weights cannot be had or do not fit.
    """

    family = "mobilenet_v2_tensorflow"
    mean = (127.5, 127.5, 127.5)
    std = (127.5, 127.5, 127.5)

    def __init__(
        self,
        weights: str | None = None,
        freeze_batchnorm: bool = False,
        frozen_blocks: Natural = 0,
        strides: Sequence[int] = (16, 32),
    ) -> None:
        if weights == "imagenet":
            raise ValueError(
                "There are no ImageNet weights for TensorFlow's MobileNetV2: set model.backbone.weights=null "
                "with init_from=tensorflow/ssd_mobilenet_v2_coco, or choose model/backbone=mobilenet_v2."
            )
        super().__init__(weights, freeze_batchnorm, frozen_blocks, strides)
        for norm in self.features.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps = EPS
        pad_as_tensorflow(self.features)
