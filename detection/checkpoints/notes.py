"""What is to be known of a checkpoint before what it finds is believed, its precision among it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from detection.bounds import height_and_width
from detection.registry import word_for

if TYPE_CHECKING:
    from torch import nn

    from detection.tasks.base import DetectionTask


def notes(described: Mapping[str, Any], ckpt: object, resumes: bool = False) -> str:
    """Say that a checkpoint's weights are rounded, or that it may have learned boxes one pixel off.

    Args:
        described: the description in the checkpoint, as ``read_checkpoint`` gives it.
        ckpt: its path, for the lines.
        resumes: whether a training resumes from it, which teaches it the edges of boxes.

    Returns:
        Lines for the user; empty for most checkpoints.
    """
    lines = [_old_boxes(described, ckpt, resumes), _other_weights(described, ckpt)]
    return "\n".join(line for line in lines if line)


def _old_boxes(described: Mapping[str, Any], ckpt: object, resumes: bool) -> str:
    """Version 0.1 took the last pixel of VOC's boxes for their far edge.

    What data a checkpoint was trained on is not in its description.
    """
    if described["format"] > 1:
        return ""
    remedy = (
        "the training that resumes from it puts them right"
        if resumes
        else f"train it again, or for some epochs more with init_from={ckpt}, to put them right"
    )
    return (
        f"Note: {ckpt} is of version 0.1, which learned boxes of VOC-style data (generated shapes too) with "
        f"edges one pixel off; those of COCO's and YOLO's formats are right. If it was VOC-style: {remedy}."
    )


def _other_weights(described: Mapping[str, Any], ckpt: object) -> str:
    """Somebody has exported them so, or ``trainer.precision`` was ``bf16-true``, say."""
    kinds = [kind for kind in described["weights"] if kind != "float32"]
    if not kinds:
        return ""
    return (
        f"Note: {ckpt} holds weights in {' and '.join(kinds)}, which are read into float32: what was rounded "
        "off before stays lost."
    )


def network_name(network: "nn.Module") -> str:
    """``SSD``, ``FasterRCNN``, or ``SSD with a pyramid``."""
    pyramid = " with a pyramid" * (getattr(network, "neck", None) is not None)
    return f"{type(network).__name__}{pyramid}"


def about(task: "DetectionTask") -> dict[str, str]:
    """What a page says of a detector: its model, its input size, and the versions that run it.

    Args:
        task: of a checkpoint.
    """
    import torch
    import torchvision

    height, width = height_and_width(task.hparams["data"]["size"])
    parameters = sum(parameter.numel() for parameter in task.network.parameters())
    backbone = task.hparams["model"].get("backbone", {}).get("_target_", "")
    names = filter(None, [network_name(task.network), word_for(backbone)])
    model = [*names, f"{parameters / 1e6:.1f} M parameters"]
    return {
        "model": ", ".join(model),
        "input size": f"{width} x {height} pixels"
        if task.collate == "padded"
        else f"short side {height}, long side at most {width} pixels",
        "versions": f"lightning-detection {version('lightning-detection')}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}",
    }


_FULL = {"None": "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}


def full_name(precision: Any) -> str:
    """Lightning's full name of a precision: ``16-mixed`` of ``16``."""
    return _FULL.get(str(precision), str(precision))


def evaluation_precision(
    trainer: Mapping[str, Any], described: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[str, str]:
    """Take the precision of the training, unless another is asked for or it is impossible here.

    Args:
        trainer: the configuration of the trainer.
        described: what the checkpoint says about itself; those of 0.1 do not say the precision.
        overrides: what the user has given, as ``KEY=VALUE``.

    Returns:
        The precision, and a line for the user where it is not float32 in both.
    """
    asked = full_name(trainer.get("precision"))
    if "precision" not in described.get("training", {}):
        return asked, ""
    trained = full_name(described["training"]["precision"])
    given = any(word.lstrip("+").startswith("trainer.precision=") for word in overrides)
    if given or asked != "32-true":  # from a configuration of the user's own
        line = f"Trained in {trained}, evaluated in {asked} as asked: its metrics may differ."
        return asked, line if asked != trained else ""
    if trained == "32-true":
        return trained, ""
    if trained.startswith("16") and _on_cpu(trainer):
        return (
            asked,
            f"Trained in {trained}, which a CPU cannot do: evaluated in {asked}; its metrics may differ.",
        )
    return trained, f"Evaluated in {trained}, as it was trained (trainer.precision)."


def _on_cpu(trainer: Mapping[str, Any]) -> bool:
    import torch

    accelerator = trainer.get("accelerator", "auto")
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
