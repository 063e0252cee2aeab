"""Faster R-CNN from raw images to padded detections, as one graph for images of any height and width.

Shapes: ``P`` proposals per image, padded; ``K`` candidates per level; ``C`` classes; ``L`` pyramid levels.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from detection.exporting.programs import Primitives, best_detections
from detection.models.faster_rcnn import BOX_STDS, FasterRCNN
from detection.models.roi_head import RoIHead
from detection.models.rpn import RPNOutput
from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes
from detection.ops.proposals import RPN_STDS
from detection.ops.roi_postprocess import MIN_SIDE


class _EverySecondCell(nn.Module):
    """The same map as torchvision's ``LastLevelMaxPool``, whose windows are single cells.

    From the pooling, torch.export (2.11) concludes that all images must have as even or odd a number of cells
    as the example.
    """

    def forward(
        self, results: list[Tensor], maps: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        """Append the map."""
        return [*results, results[-1][:, :, ::2, ::2]], [*names, "pool"]


class FasterRCNNProgram(nn.Module):
    """The same as ``FasterRCNN.forward`` and ``detect``, in operations that both file formats can hold.

    Args:
        network: a trained Faster R-CNN, in evaluation mode. It is changed: its coarsest map is computed by
            other means.
        primitives: those of the file format.
        score_threshold: see ``FasterRCNN.detect``.
        nms_threshold: see ``FasterRCNN.detect``.
        max_detections: see ``FasterRCNN.detect``.
    """

    def __init__(
        self,
        network: FasterRCNN,
        primitives: Primitives,
        score_threshold: float,
        nms_threshold: float,
        max_detections: int,
    ) -> None:
        super().__init__()
        self.network = network
        if network.neck is not None:
            network.neck.extra_blocks = _EverySecondCell()
        self.primitives = primitives
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.max_detections = max_detections

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Detect in ``(B, 3, H, W)`` RGB on the scale 0..255, uint8 or float32.

        Returns:
            Those of `best_detections`, and ``proposals`` ``(B, P, 4)``, the regions of the first stage,
            best first and zeros where padded.
        """
        size = (images.shape[-2], images.shape[-1])
        stride = self.network.backbone.strides[-1]
        normalised = (images.to(self.network.mean.dtype) - self.network.mean) / self.network.std
        # So written, an exporter sees that the stride divides the sides, which pools that round up ask for.
        below, right = ((side + stride - 1) // stride * stride - side for side in size)
        padded = F.pad(normalised, (0, right, 0, below))
        features = self.network.features(padded)
        proposals, real = self._propose(self.network.rpn(features), size)
        logits, deltas = _classify(self.network.roi_head, features, proposals)
        return {**self._detect(logits, deltas, proposals, real, size), "proposals": proposals}

    def _propose(self, output: RPNOutput, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The proposals ``(B, P, 4)``, zeros where padded, and which are real ``(B, P)``."""
        rpn = self.network.rpn
        pre_nms_top, post_nms_top = rpn.pre_nms_top[1], rpn.post_nms_top[1]
        levels = zip(
            *(field.split(output.level_sizes, dim=1) for field in (output.logits, output.deltas)),
            output.anchors.split(output.level_sizes),
            strict=True,
        )
        boxes, scores, kept = [], [], []
        for logits, deltas, anchors in levels:
            # Padded to at least the number that is taken, so that it does not depend on the image.
            ranked, order = torch.topk(F.pad(logits.float(), (0, pre_nms_top), value=-torch.inf), pre_nms_top)
            order = order.clamp(max=logits.shape[1] - 1)
            level_deltas = deltas.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
            level_boxes = clip_boxes(decode_boxes(level_deltas, anchors[order], RPN_STDS), size)
            sides = level_boxes[..., 2:] - level_boxes[..., :2]
            candidate = (sides >= rpn.min_size).all(dim=-1) & (ranked > -torch.inf)
            candidate = candidate & (ranked.sigmoid() >= rpn.score_threshold)
            level_scores = torch.where(candidate, ranked.sigmoid(), -1.0)
            boxes.append(level_boxes)
            scores.append(level_scores)
            kept.append(
                self.primitives.suppress(level_boxes, level_scores, rpn.nms_threshold, -0.5, post_nms_top)
            )
        all_boxes = torch.cat(boxes, dim=1)
        all_scores = torch.where(torch.cat(kept, dim=1), torch.cat(scores, dim=1), -1.0)
        best, order = self.primitives.topk(all_scores, min(post_nms_top, all_scores.shape[1]))
        real = best >= 0
        proposals = all_boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        return torch.where(real.unsqueeze(-1), proposals, 0.0), real

    def _detect(
        self, logits: Tensor, deltas: Tensor, proposals: Tensor, real: Tensor, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """From ``(B, P, C + 1)`` logits and ``(B, P, C, 4)`` deltas."""
        num_images, num_proposals, num_classes, _ = deltas.shape
        boxes = clip_boxes(decode_boxes(deltas, proposals.unsqueeze(2), BOX_STDS), size)
        sides = boxes[..., 2:] - boxes[..., :2]
        candidate = (sides >= MIN_SIDE).all(dim=-1) & real.unsqueeze(-1)
        scores = torch.where(candidate, logits.float().softmax(dim=-1)[..., 1:], 0.0)
        kept = self.primitives.suppress(
            boxes.transpose(1, 2).reshape(-1, num_proposals, 4),  # every class of every image is a set
            scores.transpose(1, 2).reshape(-1, num_proposals),
            self.nms_threshold,
            self.score_threshold,
            self.max_detections,
        )
        kept = kept.reshape(-1, num_classes, num_proposals).transpose(1, 2)
        labels = torch.arange(num_classes, device=deltas.device).expand(num_images, num_proposals, -1)
        return best_detections(
            boxes.flatten(1, 2),
            scores.flatten(1),
            labels.flatten(1),
            kept.flatten(1),
            self.max_detections,
            self.primitives.topk,
        )


def _classify(head: RoIHead, features: Sequence[Tensor], proposals: Tensor) -> tuple[Tensor, Tensor]:
    """``RoIHead.forward`` for padded proposals: ``(B, P, C + 1)`` logits and ``(B, P, C, 4)`` deltas."""
    num_images, num_proposals, _ = proposals.shape
    images = torch.arange(num_images, device=proposals.device, dtype=torch.float32)
    images = images.reshape(-1, 1, 1).expand(-1, num_proposals, -1)
    regions = torch.cat((images, proposals), dim=-1).reshape(-1, 5)
    vectors = head.body(_pool(head, features, regions))
    logits = head.class_predictor(vectors).reshape(num_images, num_proposals, -1)
    deltas = head.box_predictor(vectors).reshape(num_images, num_proposals, head.num_classes, 4)
    return logits, deltas


def _pool(head: RoIHead, features: Sequence[Tensor], regions: Tensor) -> Tensor:
    """What the head's ``MultiScaleRoIAlign`` does, for ``(R, 5)`` regions: image, then box."""
    (pooled_size, _), samples = head.pool.output_size, head.pool.sampling_ratio
    if len(head.strides) == 1:
        pooled: Tensor = roi_align(features[0], regions, pooled_size, 1 / head.strides[0], samples)
        return pooled
    # FPN paper, equation 1; a padded region, of no size, goes to the finest level.
    sides = ((regions[:, 3] - regions[:, 1]) * (regions[:, 4] - regions[:, 2])).sqrt()
    octaves = torch.log2(sides / head.pool.canonical_scale) + head.pool.canonical_level + 1e-6
    finest = int(math.log2(head.strides[0]))
    levels = octaves.floor().clamp(finest, finest + len(head.strides) - 1) - finest
    pooled = regions.new_zeros(regions.shape[0], features[0].shape[1], pooled_size, pooled_size)
    for level, stride in enumerate(head.strides):
        rows = (levels == level).nonzero().squeeze(1)
        cut = roi_align(features[level], regions[rows], pooled_size, 1 / stride, samples)
        pooled = pooled.index_copy(0, rows, cut)
    return pooled
