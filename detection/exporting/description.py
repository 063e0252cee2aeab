"""What an exported file says about itself."""

import json
from pathlib import Path
from typing import Any

from detection.exporting.build import decisions, ssd_size
from detection.models.ssd import SSD
from detection.tasks.base import DetectionTask

OUTPUTS = {
    "boxes": "float32 (B, D, 4): x1, y1, x2, y2 in pixels of the input; zeros where padded",
    "scores": "float32 (B, D): descending; 0 where padded",
    "labels": "int64 (B, D): index into class_names; -1 where padded",
    "num_detections": "int64 (B,): how many of the D are real",
    "proposals": "float32 (B, P, 4): regions of the first stage, best first; zeros where padded",
}


def describe(task: DetectionTask, ckpt: str, dtype: str, outputs: tuple[str, ...]) -> dict[str, str]:
    """Describe an exported detector to whoever reads the file. All values are strings; lists are JSON.

    Args:
        task: what was exported.
        ckpt: the checkpoint's path, of which the name is kept.
        dtype: of the images.
        outputs: the names of the file's outputs.
    """
    network = task.network
    if isinstance(network, SSD):
        height, width = ssd_size(task)
        kind = "SSD"
        shape = f"(B, 3, {height}, {width}), any B"
        resize = f"resize the image to {width} x {height} (width x height)"
        size = [height, width]
    else:
        short, longest = task.hparams["data"]["size"]
        kind = "Faster R-CNN"
        shape = "(B, 3, H, W), any B, H and W"
        resize = f"resize the image so that its short side is {short}, its long side at most {longest} pixels"
        size = [short, longest]
    facts = {
        "detector": kind,
        "checkpoint": Path(ckpt).name,
        "class_names": json.dumps(task.class_names, ensure_ascii=False),
        "input": f"images: {dtype} {shape}; RGB, on the scale 0..255",
        "input_size": json.dumps(size),
        "preprocessing": f"{resize}; mean and standard deviation are inside",
        "mean": json.dumps(_numbers(network.mean)),
        "std": json.dumps(_numbers(network.std)),
        "outputs": json.dumps({name: OUTPUTS[name] for name in outputs}),
    }
    return facts | {name: json.dumps(value) for name, value in decisions(task).items()}


def _numbers(values: Any) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]
