"""From a trained task to what an exporter takes: a program, an example input, and which sides may vary."""

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from detection.bounds import height_and_width
from detection.exporting.faster_rcnn_program import FasterRCNNProgram
from detection.exporting.programs import Primitives
from detection.exporting.ssd_program import SSDProgram
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask

# No image is larger than this; exporters want an upper bound (pixels).
_LARGEST_SIDE = 2**14
_LARGEST_BATCH = 2**12


@dataclass(frozen=True)
class Program:
    """A detector from raw images to padded detections."""

    module: nn.Module
    example: Tensor
    """``(2, 3, H, W)``: with one image an exporter would fix the batch at one."""
    dynamic_shapes: dict[str, dict[int, Dim]]
    outputs: tuple[str, ...]
    """Names, in the order of the module's."""


def build_program(task: DetectionTask, primitives: Primitives, dtype: Literal["uint8", "float32"]) -> Program:
    """Copy the network of a task into a program, with the task's thresholds.

    SSD takes batches of any number of images of its own size; Faster R-CNN also images of any size, from
    about two cells of its coarsest map on.

    Args:
        task: a trained one, on the CPU; it is not changed.
        primitives: those of the file format.
        dtype: of the images.
    """
    network: nn.Module = copy.deepcopy(task.network)
    network = network.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    dynamic: dict[int, Dim] = {0: Dim("batch", min=1, max=_LARGEST_BATCH)}
    if isinstance(network, SSD):
        module: nn.Module = SSDProgram(network, primitives, **decisions(task))
        height, width = ssd_size(task)
    else:
        assert isinstance(network, FasterRCNN)
        module = FasterRCNNProgram(network, primitives, **decisions(task))
        stride = network.backbone.strides[-1]
        height, width = 5 * stride, 6 * stride
        dynamic |= {
            axis: Dim(name, min=smallest_side(network), max=_LARGEST_SIDE)
            for axis, name in ((2, "height"), (3, "width"))
        }
    example = torch.zeros(2, 3, height, width, dtype=getattr(torch, dtype))
    with torch.no_grad():
        outputs = tuple(module.eval()(example))
    return Program(module, example, {"images": dynamic}, outputs)


def decisions(task: DetectionTask) -> dict[str, Any]:
    """The thresholds and limits of a task's post-processing, by name."""
    assert isinstance(task, SSDTask | FasterRCNNTask)
    return dict(task.select.keywords)


def ssd_size(task: DetectionTask) -> tuple[int, int]:
    """``(height, width)`` of an SSD's input, as its checkpoint says."""
    return height_and_width(task.hparams["data"]["size"])


def smallest_side(network: FasterRCNN) -> int:
    """The shortest side, in pixels, of images that an exported Faster R-CNN takes.

    The exporters treat a map of a single cell as another program.
    """
    return 2 * network.backbone.strides[-1] + 1
