"""Running an exported file, as its user would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detection.exporting.writers import quiet
from detection.types import Detections

Outputs = dict[str, NDArray[Any]]
Runner = Callable[[NDArray[np.uint8]], Outputs]
"""From uint8 images ``(B, 3, H, W)`` to the outputs by name."""


def open_onnx(path: Path, threads: int = 0) -> Runner:
    """Load an ONNX file into onnxruntime.

    Args:
        path: the file.
        threads: how many to use; 0 leaves it to onnxruntime.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[session.get_inputs()[0].type]

    def run(images: NDArray[np.uint8]) -> Outputs:
        return dict(zip(names, session.run(names, {"images": images.astype(dtype)}), strict=True))

    return run


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
