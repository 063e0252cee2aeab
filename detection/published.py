"""Detectors that others published, as if ``train.py`` had written their checkpoints."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from detection.cli import CONF, inference_config, model_config

# The recipe that describes the network, input and post-processing which the weights were trained for.
_EXPERIMENTS = {
    "torchvision/ssd300_vgg16": "ssd_300_vgg16_torchvision",
    "torchvision/fasterrcnn_resnet50_fpn": "faster_rcnn_fpn_resnet50_torchvision",
    "torchvision/ssdlite320_mobilenet_v3_large": "finetune_ssdlite_mobilenet_v3",
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn": "finetune_faster_rcnn_mobilenet_v3_320",
    "torchvision/fasterrcnn_mobilenet_v3_large_fpn": "faster_rcnn_mobilenet_v3_torchvision",
    "torchvision/fasterrcnn_resnet50_fpn_v2": "finetune_faster_rcnn_resnet50_v2",
    "tensorflow/ssd_mobilenet_v2_coco": "finetune_ssd_mobilenet_v2",
}
# Where the fine-tune found another value better than the publisher's.
_PUBLISHED = {"tensorflow/ssd_mobilenet_v2_coco": ["model.nms_threshold=0.6"]}


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

    detector, _, file = name.partition(":")
    state = published_weights(detector, file or None)
    return {
        "hyper_parameters": _description(detector, list(COCO_CLASSES)),
        "state_dict": {f"network.{key}": value for key, value in state.items()},
    }


def _description(detector: str, class_names: list[str]) -> dict[str, Any]:
    # A command has Hydra running already, and it runs only once at a time.
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            own = [f"experiment={_EXPERIMENTS[detector]}", *_PUBLISHED.get(detector, ())]
            cfg = compose("train", overrides=own)
    finally:
        GlobalHydra.instance().hydra = running
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("model", "data", "optimizer")
    }
    from detection.tasks.base import DESCRIPTION_FORMAT

    return {
        "format": DESCRIPTION_FORMAT,
        "model": model_config(config, class_names, batch_size=None),
        "data": inference_config(config["data"]),
    }
