"""What is to be known of a checkpoint that version 0.1 wrote."""

from collections.abc import Mapping
from typing import Any


def old_boxes(described: Mapping[str, Any], ckpt: object, goes_on: bool = False) -> str:
    """Say that a checkpoint may have learned boxes one pixel off.

    Version 0.1 took the last pixel of VOC's boxes for their far edge. What data a checkpoint was trained on
    is not in its description.

    Args:
        described: the description in the checkpoint, with its ``format``.
        ckpt: its path, for the line.
        goes_on: whether a training goes on from it, which teaches it the edges.

    Returns:
        A line for the user; empty for checkpoints of later versions.
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
