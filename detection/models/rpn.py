"""Region proposal network (Faster R-CNN paper, section 3.1).

Shapes: B images, K anchors per cell, A anchors over all feature maps, ordered by map, row, column and
base anchor; P_i proposals of image i. There is one logit per anchor: object or not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.ops.anchors import in_order_of_anchors
from detection.ops.proposals import propose
from detection.ops.rpn_anchors import fitted_stride, shift_anchors


class RPNOutput(NamedTuple):
    """The raw predictions, the same in training and evaluation."""

    logits: Tensor
    """``(B, A)``, before the sigmoid."""
    deltas: Tensor
    """``(B, A, 4)``, relative to the anchors."""
    anchors: Tensor
    """float32 ``(A, 4)`` xyxy, in pixels of the padded input."""
    level_sizes: list[int]
    """How many of the A anchors belong to each feature map."""


class RPN(nn.Module):
    """A small head, shared by all feature maps, that says where objects are, and their rough boxes.

    Args:
        in_channels: of every feature map.
        channels: of the hidden 3x3 convolution.
        base_anchors: for each feature map the ``(K, 4)`` anchors of its first cell.
        strides: pixels per cell of each feature map.
        pre_nms_top: best anchors of each map that enter suppression, in training and in evaluation.
        post_nms_top: proposals kept per image, in training and in evaluation.
        nms_threshold: of two proposals that overlap more, the weaker is dropped.
        min_size: proposals with a smaller side, in pixels, are dropped.
        fit_strides: whether anchors are ``fitted_stride`` apart, as torchvision's are, and not the stride.
        score_threshold: proposals with a lower score are dropped.
        conv_depth: how many hidden convolutions there are.

    Raises:
        ValueError: if there are not as many strides as base anchors, or the maps differ in K.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        base_anchors: Sequence[Tensor],
        strides: Sequence[int],
        pre_nms_top: Sequence[int] = (12000, 6000),
        post_nms_top: Sequence[int] = (2000, 300),
        nms_threshold: float = 0.7,
        min_size: float = 16,
        fit_strides: bool = False,
        score_threshold: float = 0.0,
        conv_depth: int = 1,
    ) -> None:
        super().__init__()
        if len(base_anchors) != len(strides) or len({len(anchors) for anchors in base_anchors}) != 1:
            raise ValueError(
                f"The RPN needs base anchors for each of the {len(strides)} feature maps of strides "
                f"{tuple(strides)}, equally many for each; got {[len(anchors) for anchors in base_anchors]}."
            )
        # Not buffers: casting the network to half precision would move them by whole pixels.
        self.base_anchors = list(base_anchors)
        self.strides = tuple(strides)
        self.pre_nms_top = pre_nms_top
        self.post_nms_top = post_nms_top
        self.nms_threshold = nms_threshold
        self.min_size = min_size
        self.fit_strides = fit_strides
        self.score_threshold = score_threshold
        num_anchors = len(base_anchors[0])
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        others = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(conv_depth - 1)]
        self.deeper = nn.Sequential(*(layer for conv in others for layer in (nn.ReLU(inplace=True), conv)))
        self.score = nn.Conv2d(channels, num_anchors, 1)
        self.box = nn.Conv2d(channels, num_anchors * 4, 1)
        for layer in (self.conv, *others, self.score, self.box):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> RPNOutput:
        """Predicts for every anchor.

        Args:
            features: one ``(B, in_channels, H_l, W_l)`` per stride.
        """
        height, width = features[0].shape[2:]  # the input is padded to whole cells of this map
        padded_size = (height * self.strides[0], width * self.strides[0])
        logits, deltas, anchors = [], [], []
        for x, base, stride in zip(features, self.base_anchors, self.strides, strict=True):
            hidden = F.relu(self.deeper(self.conv(x)))
            logits.append(in_order_of_anchors(self.score(hidden), 1).squeeze(-1))
            deltas.append(in_order_of_anchors(self.box(hidden), 4))
            cells = (x.shape[2], x.shape[3])
            step = fitted_stride(cells, padded_size) if self.fit_strides else stride
            anchors.append(shift_anchors(base.to(x.device), cells, step))
        # shape, not len(), which would fix the size of images in an exported network
        level_sizes = [level.shape[0] for level in anchors]
        return RPNOutput(torch.cat(logits, dim=1), torch.cat(deltas, dim=1), torch.cat(anchors), level_sizes)

    @torch.no_grad()
    def propose(self, output: RPNOutput, image_sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Picks the regions that the second stage looks at; no gradient flows through their boxes.

        Args:
            output: what ``forward`` returned.
            image_sizes: ``(height, width)`` of each image without padding, to which boxes are clipped.

        Returns:
            One ``(P_i, 4)`` float32 xyxy per image, best first; P_i may be 0. The module's mode decides
            how many.
        """
        mode = 0 if self.training else 1
        return propose(
            output.logits,
            output.deltas,
            output.anchors,
            image_sizes,
            pre_nms_top=self.pre_nms_top[mode],
            post_nms_top=self.post_nms_top[mode],
            nms_threshold=self.nms_threshold,
            min_size=self.min_size,
            level_sizes=output.level_sizes,
            score_threshold=self.score_threshold,
        )
