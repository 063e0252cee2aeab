"""What is to be known of a checkpoint before what it finds is believed."""

from collections.abc import Mapping
from typing import Any


def notes(described: Mapping[str, Any], ckpt: object, goes_on: bool = False) -> str:
    """Say that a checkpoint's weights are rounded, or that it may have learned boxes one pixel off.

    Args:
        described: the description in the checkpoint, as ``read_checkpoint`` gives it.
        ckpt: its path, for the lines.
        goes_on: whether a training goes on from it, which teaches it the edges of boxes.

    Returns:
        Lines for the user; empty for most checkpoints.
    """
    lines = [_old_boxes(described, ckpt, goes_on), _other_weights(described, ckpt)]
    return "\n".join(line for line in lines if line)


def _old_boxes(described: Mapping[str, Any], ckpt: object, goes_on: bool) -> str:
    """Version 0.1 took the last pixel of VOC's boxes for their far edge.

    What data a checkpoint was trained on is not in its description.
    """
    if described["format"] > 1:
        return ""
    remedy = (
        "the training that goes on from it puts them right"
        if goes_on
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
