"""Image classifiers without their classifier, as feature extractors with ImageNet weights."""

from detection.models.backbones.base import Backbone
from detection.models.backbones.mobilenet import MobileNetV2Backbone
from detection.models.backbones.mobilenet_tensorflow import MobileNetV2TensorFlowBackbone
from detection.models.backbones.mobilenet_v3 import MobileNetV3LargeBackbone
from detection.models.backbones.resnet import ResNetBackbone
from detection.models.backbones.timm_models import TimmBackbone
from detection.models.backbones.tiny import TinyBackbone
from detection.models.backbones.vgg import VGG16AtrousBackbone

__all__ = [
    "Backbone",
    "MobileNetV2Backbone",
    "MobileNetV2TensorFlowBackbone",
    "MobileNetV3LargeBackbone",
    "ResNetBackbone",
    "TimmBackbone",
    "TinyBackbone",
    "VGG16AtrousBackbone",
]
