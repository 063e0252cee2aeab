"""Running an exported file, as its user would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detection.exporting.writers import quiet
from detection.reader import Reader
from detection.types import Detections

Outputs = dict[str, NDArray[Any]]
Runner = Callable[[NDArray[np.uint8]], Outputs]
"""From uint8 images ``(B, 3, H, W)`` to the outputs by name."""


def open_exported(path: Path, threads: int = 0) -> Runner:
    """Load an ONNX or OpenVINO file as its users do.

    Args:
        path: the file.
        threads: how many to use; 0 leaves it to the runtime.
    """
    return Reader(path, threads).run


def open_torch(path: Path) -> Runner:
    """Load a ``.pt2`` file."""
    with quiet():
        program = torch.export.load(path)
        module = program.module()
    dtype = next(
        node.meta["val"].dtype
        for node in program.graph.find_nodes(op="placeholder")
        if node.name in program.graph_signature.user_inputs
    )

    def run(images: NDArray[np.uint8]) -> Outputs:
        with torch.no_grad():
            outputs = module(torch.from_numpy(images).to(dtype))
        return {name: values.numpy() for name, values in outputs.items()}

    return run


def detections_of(outputs: Outputs, image: int) -> Detections:
    """The real detections of one image of a batch."""
    count = int(outputs["num_detections"][image])
    return Detections(
        boxes=torch.from_numpy(outputs["boxes"][image, :count].copy()),
        scores=torch.from_numpy(outputs["scores"][image, :count].copy()),
        labels=torch.from_numpy(outputs["labels"][image, :count].copy()),
    )


def proposals_of(outputs: Outputs, image: int) -> torch.Tensor:
    """The real proposals ``(P_i, 4)`` of one image of a batch, of Faster R-CNN."""
    proposals = torch.from_numpy(outputs["proposals"][image].copy())
    return proposals[(proposals[:, 2:] > proposals[:, :2]).all(dim=1)]
