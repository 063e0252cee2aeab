"""Boxes as Weights & Biases wants them, which lets one switch them on and off."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from detection.types import Detections, Target


def image_boxes(
    detections: Detections, target: Target, class_names: Sequence[str], threshold: float
) -> dict[str, Any]:
    """The boxes of one image as ``wandb.Image`` wants them, in fractions of its width and height.

    Args:
        detections: what was found, in the image's original pixels.
        target: what is there, in the image's original pixels.
        class_names: names by label.
        threshold: lowest score to keep.

    Returns:
        Two overlays, ``predictions`` and ``ground_truth``.
    """
    kept = detections["scores"] >= threshold
    found = _box_data(detections["boxes"][kept], detections["labels"][kept], target["size"])
    for box, score in zip(found, detections["scores"][kept].tolist(), strict=True):
        box["scores"] = {"score": score}
        box["box_caption"] = f"{class_names[box['class_id']]} {score:.2f}"
    there = _box_data(target["boxes"], target["labels"], target["size"])
    for box, is_difficult in zip(there, target["difficult"].tolist(), strict=True):
        box["box_caption"] = class_names[box["class_id"]] + " (difficult)" * is_difficult
    class_labels = dict(enumerate(class_names))
    return {
        "predictions": {"box_data": found, "class_labels": class_labels},
        "ground_truth": {"box_data": there, "class_labels": class_labels},
    }


def _box_data(boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
    height, width = size
    fractions = (boxes / boxes.new_tensor([width, height, width, height])).tolist()
    return [
        {"position": dict(zip(("minX", "minY", "maxX", "maxY"), corners, strict=True)), "class_id": label}
        for corners, label in zip(fractions, labels.tolist(), strict=True)
    ]
