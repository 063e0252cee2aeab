"""Detectors that others published, as if ``train.py`` had written their checkpoints."""

from typing import Any

# What the weights were trained for. The recipes that fine-tune them build the same networks
# (tests/checkpoints/test_published.py), and choose everything else anew.
_BACKBONES = "detection.models.backbones."
_TORCHVISION_BUILDERS = "detection.models.faster_rcnn_torchvision."
_RESNET = {"_target_": f"{_BACKBONES}ResNetBackbone", "depth": 50, "strides": [4, 8, 16, 32], "weights": None}
_MOBILENET = {"_target_": f"{_BACKBONES}MobileNetV3LargeBackbone", "weights": None, "reduced_tail": False}


def _ssd(backbone: dict[str, Any], size: int, network: dict[str, Any], **select: Any) -> dict[str, Any]:
    transform = {
        "_target_": "detection.data.transforms.ssd_eval_transform",
        "_partial_": True,
        "bilinear": True,
    }
    return {
        "model": {
            "_target_": "detection.tasks.ssd.SSDTask",
            "backbone": backbone,
            "network": {
                "_target_": "detection.models.ssd.build_ssd",
                "_partial_": True,
                "size": size,
                **network,
            },
            "topk_per_class": True,
            **select,
        },
        "data": {"size": size, "eval_transform": transform, "collate": "padded"},
    }


def _faster_rcnn(
    backbone: dict[str, Any], builder: str, size: tuple[int, int], proposals: int = 1000, **network: Any
) -> dict[str, Any]:
    transform = {"_target_": "detection.data.transforms.faster_rcnn_eval_transform", "_partial_": True}
    top = [2000, proposals]  # in training, in evaluation
    built = {"pre_nms_top": top, "post_nms_top": top, "min_size": 0.001, **network}
    return {
        "model": {
            "_target_": "detection.tasks.faster_rcnn.FasterRCNNTask",
            "backbone": {**backbone, "freeze_batchnorm": True},
            "network": {"_target_": builder, "_partial_": True, **built},
            "score_threshold": 0.05,
            "nms_threshold": 0.5,
        },
        "data": {"size": list(size), "eval_transform": {**transform, "round_down": True}, "collate": "list"},
    }


_DETECTORS = {
    "torchvision/ssd300_vgg16": _ssd(
        {"_target_": f"{_BACKBONES}VGG16AtrousBackbone", "weights": None},
        300,
        {
            "anchor_sizes": [21, 45, 99, 153, 207, 261, 315],
            "max_anchor_side": 300,
            "anchors_for": 300,
        },
        nms_threshold=0.45,
        topk=400,
        max_detections=200,
    ),
    "torchvision/ssdlite320_mobilenet_v3_large": _ssd(
        {**_MOBILENET, "strides": [16, 32], "reduced_tail": True, "freeze_batchnorm": True},
        320,
        {},
        score_threshold=0.001,
        nms_threshold=0.55,
        topk=300,
        max_detections=300,
    ),
    "tensorflow/ssd_mobilenet_v2_coco": _ssd(
        {"_target_": f"{_BACKBONES}MobileNetV2TensorFlowBackbone", "freeze_batchnorm": True},
        300,
        {},
        nms_threshold=0.6,
        topk=100,
    ),
    "torchvision/fasterrcnn_resnet50_fpn": _faster_rcnn(
        _RESNET,
        "detection.models.faster_rcnn_presets.build_faster_rcnn_fpn",
        (800, 1333),
        channels=256,
        dense_channels=1024,
        anchor_sizes=[32, 64, 128, 256, 512],
        canonical_size=224,
        fit_strides=True,
    ),
    "torchvision/fasterrcnn_resnet50_fpn_v2": _faster_rcnn(
        _RESNET, f"{_TORCHVISION_BUILDERS}build_faster_rcnn_fpn_v2", (800, 1333)
    ),
    "torchvision/fasterrcnn_mobilenet_v3_large_fpn": _faster_rcnn(
        {**_MOBILENET, "strides": [32, 32]},
        f"{_TORCHVISION_BUILDERS}build_faster_rcnn_mobilenet_v3",
        (800, 1333),
    ),
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn": _faster_rcnn(
        {**_MOBILENET, "strides": [32, 32]},
        f"{_TORCHVISION_BUILDERS}build_faster_rcnn_mobilenet_v3",
        (320, 640),
        proposals=150,
    ),
}
# A description names them; a training from these weights has its own.
_TRAINING = {
    "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.001},
    "scheduler": {"_target_": "detection.tasks.schedules.Cosine"},
}


def read_published(name: str) -> dict[str, Any]:
    """Get weights that torchvision or TensorFlow trained on COCO, and describe their detector.

    Args:
        name: such as ``torchvision/ssd300_vgg16``; the weights are downloaded, unless they are in torch hub's
            folder, or read from a file: ``<name>:/path.pth``.

    Returns:
        ``hyper_parameters`` and ``state_dict``, as a checkpoint has them.

    Raises:
        ValueError: there is no such detector, or its weights cannot be had or do not fit.
    """
    from detection.models.published_weights import published_weights
    from detection.models.torchvision_weights import COCO_CLASSES
    from detection.registry import DESCRIPTION_FORMAT

    detector, _, file = name.partition(":")
    state = published_weights(detector, file or None)
    described = _DETECTORS[detector]
    model = {**described["model"], **_TRAINING, "class_names": list(COCO_CLASSES)}
    return {
        "hyper_parameters": {"format": DESCRIPTION_FORMAT, "model": model, "data": described["data"]},
        "state_dict": {f"network.{key}": value for key, value in state.items()},
    }
