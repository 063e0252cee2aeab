"""RoIAlign over a pyramid of feature maps (Mask R-CNN paper, section 3; FPN paper, equation 1).

Shapes: R regions of all images together, C channels, S cells along a side of a pooled region. Each cell is
the mean of 2x2 samples, each sample the weighted sum of the four cells of the map around it.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from detection.ops import processor

_SAMPLES = 2  # along a side of a cell


class RegionPool(MultiScaleRoIAlign):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's pool, and a second way for CPUs with the same result, see ``sum_corners``.

    Args:
        strides: pixels per cell of the maps, finest first, each twice the one before.
        pooled_size: S.
        canonical_size: side in pixels of a region that is cut from the map of stride 16.
    """

    def __init__(self, strides: Sequence[int], pooled_size: int, canonical_size: int) -> None:
        names = [str(i) for i in range(len(strides))]
        super().__init__(names, pooled_size, _SAMPLES, canonical_scale=canonical_size)
        # Not left to torchvision, which concludes them from the sizes of the first batch.
        self.scales = [1 / stride for stride in strides]
        first, last = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))
        self.map_levels = LevelMapper(first, last, canonical_size, self.canonical_level)

    def forward(self, features: Sequence[Tensor], regions: Sequence[Tensor]) -> Tensor:
        """Cuts each region out of the map that fits its size.

        Args:
            features: one ``(B, C, H_l, W_l)`` per stride, or more, which are ignored.
            regions: ``(R_i, 4)`` xyxy of each image, in pixels.

        Returns:
            float32 ``(R, C, S, S)``, since half precision has too few digits for coordinates.
        """
        maps = list(features[: len(self.scales)])
        # Trainings in float32 keep the sums, and so each digit of the losses, that they have had.
        to_the_digit = torch.is_grad_enabled() and maps[0].dtype == torch.float32
        if processor.on_cpu(maps[0]) and not to_the_digit:
            return self.sum_corners(maps, regions)
        named = {name: x.float() for name, x in zip(self.featmap_names, maps, strict=True)}
        pooled: Tensor = super().forward(named, list(regions), [])
        return pooled

    def sum_corners(self, maps: Sequence[Tensor], regions: Sequence[Tensor]) -> Tensor:
        """The same as one sum of 16 cells of the maps for each cell of a region.

        Torchvision's operator goes through a region channel by channel, and its gradient writes a number at a
        time. Where the channels of a cell lie together, as in ``channels_last``, they are summed as vectors.

        Args:
            maps: one ``(B, C, H_l, W_l)`` per stride.
            regions: see ``forward``.
        """
        boxes, device = torch.cat(list(regions)).float(), maps[0].device
        images = torch.repeat_interleave(
            torch.arange(len(regions), device=device), torch.tensor([len(x) for x in regions], device=device)
        )
        levels = self.map_levels(list(regions))
        # Of each region: its map's height, width and scale, and the row of the map's first cell in the table.
        sizes = torch.tensor([x.shape[2:] for x in maps], device=device)
        heights, widths = sizes[levels].unbind(dim=1)
        cells = sizes.prod(dim=1) * len(maps[0])
        first = (cells.cumsum(0) - cells)[levels] + images * heights * widths
        boxes = boxes * torch.tensor(self.scales, device=device)[levels].unsqueeze(1)

        side = self.output_size[0]
        columns, column_weights = _corners(boxes[:, 0], boxes[:, 2], widths, side)
        rows, row_weights = _corners(boxes[:, 1], boxes[:, 3], heights, side)
        rows = rows * widths.int()[:, None, None] + first.int()[:, None, None]
        # (R, S, S, 4, 4): of each cell the corners in four rows and four columns
        indices = rows[:, :, None, :, None] + columns[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        corners = (2 * _SAMPLES) ** 2
        table = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in maps]).float()
        pooled = F.embedding_bag(
            indices.reshape(-1, corners), table, mode="sum", per_sample_weights=weights.reshape(-1, corners)
        )
        return pooled.reshape(-1, side, side, table.shape[1]).permute(0, 3, 1, 2)


def _corners(start: Tensor, end: Tensor, limit: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where the samples of regions lie along one axis of their maps.

    Args:
        start: ``(R,)`` in cells of the map.
        end: ``(R,)``; a region is taken to be a cell long at least, as torchvision does.
        limit: ``(R,)`` cells that the map has.
        side: S.

    Returns:
        int32 positions and their weights, ``(R, S, 4)`` each: two neighbours of each of two samples.
    """
    step = (end - start).clamp(min=1) / side
    offsets = (torch.arange(side * _SAMPLES, device=start.device) + 0.5) / _SAMPLES
    points = start.unsqueeze(1) + step.unsqueeze(1) * offsets
    last = limit.unsqueeze(1) - 1
    inside = (points >= -1) & (points <= last + 1)
    points = torch.minimum(points.clamp(min=0), last)
    low = points.floor()
    share = points - low
    positions = torch.stack((low, torch.minimum(low + 1, last)), dim=2).int()
    weights = torch.stack((1 - share, share), dim=2) * (inside / _SAMPLES).unsqueeze(2)
    return positions.reshape(-1, side, 2 * _SAMPLES), weights.reshape(-1, side, 2 * _SAMPLES)
