"""Anchor coverage: how well a network's anchors overlap the objects, before anything is trained.

An object that no anchor overlaps enough is learned from its single best anchor, or not at all.
"""

import math
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from detection.inspection.images import InspectedImage
from detection.inspection.statistics import SIDE_EDGES
from detection.models.described_anchors import anchors_in_numbers
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.ops.boxes import pairwise_iou, scale_boxes
from detection.ops.padding import padded_size
from detection.ops.rpn_anchors import rpn_anchors

RPN_THRESHOLDS = (
    0.7,
    0.3,
)  # Faster R-CNN paper, section 3.1.2: positive from the first, negative below the second
_PAIRS_AT_ONCE = 2**24

Size = tuple[int, int]
"""``(height, width)``."""


class Coverage(NamedTuple):
    """The best overlap of each object with an anchor."""

    thresholds: tuple[float, ...]
    """Falling; the first is that from which an anchor learns an object."""
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """``(N,)``."""
    sides: NDArray[np.float64]
    """``(N,)``: square root of each box's area, in pixels of the network's input."""
    best_iou: NDArray[np.float64]
    """``(N,)``."""
    settings: str = ""
    """What sets the anchors that were compared, as it is typed."""

    def by_class(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """For each class with objects, its name, how many, and how many are below each threshold."""
        groups = [(name, self.labels == label) for label, name in enumerate(self.classes)]
        return [(name, *self._count(mask)) for name, mask in groups if mask.any()]

    def by_side(self) -> list[tuple[float, float, int, tuple[int, ...]]]:
        """For each range of sides with objects, its ends, how many, and how many are below each threshold."""
        ends = pairwise(SIDE_EDGES)
        groups = [(low, high, (self.sides >= low) & (self.sides < high)) for low, high in ends]
        return [(low, high, *self._count(mask)) for low, high, mask in groups if mask.any()]

    def total(self) -> tuple[int, tuple[int, ...]]:
        """How many objects, and how many are below each threshold."""
        return self._count(np.ones_like(self.labels, dtype=bool))

    def _count(self, mask: NDArray[np.bool_]) -> tuple[int, tuple[int, ...]]:
        return int(mask.sum()), tuple(int((self.best_iou[mask] < bound).sum()) for bound in self.thresholds)


def anchors_for(network: SSD | FasterRCNN, inside_only: bool = False) -> Callable[[Size], Tensor]:
    """What lays a network's anchors over an input of a given size, without running the network.

    Args:
        network: its weights do not matter.
        inside_only: leave out anchors that cross the border, as in the training of some Faster R-CNNs.
    """
    if isinstance(network, SSD):
        return network.anchors_over

    def over(size: Size) -> Tensor:
        padded = padded_size([size], network.backbone.strides[-1])
        rpn = network.rpn
        anchors = rpn_anchors(rpn.base_anchors, rpn.strides, padded, rpn.fit_strides)
        if not inside_only:
            return anchors
        x1, y1, x2, y2 = anchors.unbind(-1)
        return anchors[(x1 >= 0) & (y1 >= 0) & (x2 < size[1]) & (y2 < size[0])]

    return over


def anchor_settings(build: partial[SSD | FasterRCNN], network: SSD | FasterRCNN) -> str:
    """The anchors in force as words of a command line: for others of one map, one number is changed.

    As they stand they change nothing: numbers have all their digits, and keys that the configuration does not
    have a ``+``.

    Args:
        build: the builder of the network, with the arguments that are configured.
        network: what it has built.

    Returns:
        Words with spaces between; none where the builder has no such arguments.
    """
    defaults = {name: parameter.default for name, parameter in signature(build.func).parameters.items()}
    values = anchors_in_numbers(network) if isinstance(network, SSD) else defaults | build.keywords
    names = ["anchor_sizes", "anchor_scales", "anchor_ratios", "max_anchor_side"]
    if build.keywords.get("anchors_for") is not None:  # sizes would grow from there, and have grown already
        names += ["anchor_steps", "anchors_for"]
        values["anchors_for"] = None
    keys = {name: f"{'' if name in build.keywords else '+'}model.network.{name}" for name in names}
    return shlex.join(f"{keys[name]}={_typed(values[name])}" for name in names if name in values)


def _typed(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return repr(float(value)).removesuffix(".0")
    return f"[{','.join(map(_typed, value))}]"


def measure_coverage(
    images: Sequence[InspectedImage],
    classes: Sequence[str],
    input_size: Callable[[Size], Size],
    anchors: Callable[[Size], Tensor],
    thresholds: tuple[float, ...],
) -> Coverage:
    """Finds the best IoU of every object with the anchors.

    Args:
        images: as inspected.
        classes: names in label order.
        input_size: the size of the network's input for an image of a given size.
        anchors: the ``(A, 4)`` anchors over an input.
        thresholds: falling IoUs below which objects are counted.
    """
    # Images of one input size share their anchors.
    groups: dict[Size, list[InspectedImage]] = defaultdict(list)
    for image in images:
        if image.record.objects:
            groups[input_size(image.record.size)].append(image)
    label_of = {name: label for label, name in enumerate(classes)}
    labels: list[int] = []
    sides: list[float] = []
    best: list[float] = []
    for size, group in track(groups.items(), "Comparing objects with anchors", disable=not groups):
        boxes = torch.cat([_scaled_boxes(image, size) for image in group])
        labels += [label_of[item.name] for image in group for item in image.record.objects]
        sides += [math.sqrt((x2 - x1) * (y2 - y1)) for x1, y1, x2, y2 in boxes.tolist()]
        best += _best_iou(boxes, anchors(size)).tolist()
    return Coverage(thresholds, tuple(classes), np.array(labels, np.int64), np.array(sides), np.array(best))


def _scaled_boxes(image: InspectedImage, size: Size) -> Tensor:
    boxes = torch.tensor([item.box for item in image.record.objects], dtype=torch.float32)
    return scale_boxes(boxes, image.record.size, size)


def _best_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """``(N,)``: 0 where there is no anchor."""
    if len(anchors) == 0:
        return torch.zeros(len(boxes))
    chunks = boxes.split(max(1, _PAIRS_AT_ONCE // len(anchors)))
    return torch.cat([pairwise_iou(chunk, anchors).amax(dim=1) for chunk in chunks])
