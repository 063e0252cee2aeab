"""Detectors that torchvision publishes, as if ``train.py`` had written their checkpoints."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from detection.cli import CONF, inference_config, model_config

PREFIX = "torchvision/"
# The recipe that describes the network, input and post-processing which the weights were trained for.
_EXPERIMENTS = {
    "ssd300_vgg16": "ssd_300_vgg16_torchvision",
    "fasterrcnn_resnet50_fpn": "faster_rcnn_fpn_resnet50_torchvision",
}


def read_published(name: str) -> dict[str, Any]:
    """Get weights that torchvision trained on COCO, and describe their detector.

    Args:
        name: ``torchvision/ssd300_vgg16`` or ``torchvision/fasterrcnn_resnet50_fpn``; the weights are
            downloaded, unless they are in torch hub's folder, or read from a file: ``<name>:/path.pth``.

    Returns:
        ``hyper_parameters`` and ``state_dict``, as a checkpoint has them.

    Raises:
        ValueError: there is no such detector, or its weights cannot be had or do not fit.
    """
    from detection.models.backbones.weights import download, read_file
    from detection.models.torchvision_weights import COCO_CLASSES, PUBLISHED

    detector, _, file = name.removeprefix(PREFIX).partition(":")
    if detector not in PUBLISHED:
        known = " and ".join(PREFIX + known for known in PUBLISHED)
        raise ValueError(f"There are no weights {PREFIX}{detector}; there are {known}.")
    published = PUBLISHED[detector]
    if file:
        state = read_file(Path(file).expanduser(), f"give {PREFIX}{detector}:/path/to/the/weights.pth")
    else:
        state = download(
            published.url, f"give {PREFIX}{detector}:/path/to/{published.url.rsplit('/', 1)[-1]}"
        )
    try:
        converted = published.convert(state)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return {
        "hyper_parameters": _description(_EXPERIMENTS[detector], list(COCO_CLASSES)),
        "state_dict": {f"network.{key}": value for key, value in converted.items()},
    }


def _description(experiment: str, class_names: list[str]) -> dict[str, Any]:
    # A command has Hydra running already, and it runs only once at a time.
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", overrides=[f"experiment={experiment}"])
    finally:
        GlobalHydra.instance().hydra = running
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("model", "data", "optimizer")
    }
    return {
        "model": model_config(config, class_names, batch_size=None),
        "data": inference_config(config["data"]),
    }
