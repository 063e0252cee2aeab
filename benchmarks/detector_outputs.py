"""What the networks would hand over, made up: SSD300 on VOC, 8732 anchors, 21 logits."""

from typing import NamedTuple

import torch
from torch import Tensor

from detection.models.presets import PRESETS
from detection.ops.anchors import ssd_anchors

NUM_CLASSES = 20
SIZE = (300, 300)


class GroundTruth(NamedTuple):
    """Objects of a batch, padded."""

    boxes: Tensor
    """``(B, M, 4)`` xyxy."""
    labels: Tensor
    """``(B, M)``, ``0..C-1``, -1 where padded."""


def ssd300_anchors() -> Tensor:
    """The ``(8732, 4)`` anchors of SSD300."""
    preset = PRESETS["vgg16_atrous", 300]
    cells = [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    return ssd_anchors(cells, preset.anchor_steps, preset.anchor_sizes, preset.anchor_ratios)


def ground_truth(batch_size: int, fewest: int, most: int, seed: int = 0) -> GroundTruth:
    """Between so many objects per image, of all sizes and shapes."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(fewest, most + 1, (batch_size, 1), generator=generator)
    num_gt = int(counts.max())
    sides = 20 + torch.rand(batch_size, num_gt, 2, generator=generator) * 200
    corners = torch.rand(batch_size, num_gt, 2, generator=generator) * (300 - sides)
    labels = torch.randint(0, NUM_CLASSES, (batch_size, num_gt), generator=generator)
    padded = torch.arange(num_gt) >= counts
    boxes = torch.cat((corners, corners + sides), dim=-1)
    return GroundTruth(boxes.masked_fill(padded.unsqueeze(-1), 0), labels.masked_fill(padded, -1))


def raw_predictions(batch_size: int, num_anchors: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and deltas of a new network."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch_size, num_anchors, NUM_CLASSES + 1, generator=generator)
    deltas = torch.randn(batch_size, num_anchors, 4, generator=generator)
    return logits, deltas


def trained_logits(batch_size: int, num_anchors: int, seed: int = 0) -> Tensor:
    """Background nearly everywhere: some 300 pairs of anchor and class per image score above 0.01."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch_size, num_anchors, NUM_CLASSES + 1, generator=generator)
    logits[..., 0] += 10
    for image in range(batch_size):
        found = torch.randperm(num_anchors, generator=generator)[:340]
        classes = torch.randint(1, NUM_CLASSES + 1, (340,), generator=generator)
        logits[image, found, classes] += 5 + 7 * torch.rand(340, generator=generator)
    return logits
