"""SSD from raw images to padded detections, as one graph of fixed shapes."""

import torch
from torch import Tensor, nn

from detection.exporting.programs import Primitives, best_detections
from detection.models.ssd import BOX_STDS, SSD
from detection.ops.boxes import clip_boxes
from detection.ops.coding import decode_boxes


class SSDProgram(nn.Module):
    """The same as ``SSD.forward`` and ``SSD.detect``, in operations that both file formats can hold.

    Args:
        network: a trained SSD.
        primitives: those of the file format.
        score_threshold: see ``SSD.detect``.
        nms_threshold: see ``SSD.detect``.
        topk: see ``SSD.detect``.
        max_detections: see ``SSD.detect``.
        topk_per_class: see ``SSD.detect``.
    """

    def __init__(
        self,
        network: SSD,
        primitives: Primitives,
        score_threshold: float,
        nms_threshold: float,
        topk: int,
        max_detections: int,
        topk_per_class: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.primitives = primitives
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.topk, self.max_detections = topk, max_detections
        self.topk_per_class = topk_per_class

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Detect in ``(B, 3, H, W)`` RGB on the scale 0..255, uint8 or float32.

        Returns:
            See `best_detections`.
        """
        size = (images.shape[-2], images.shape[-1])
        logits, deltas, anchors = self.network(images)
        scores = logits.float().softmax(dim=-1)[..., 1:]
        select = self._best_of_each_class if self.topk_per_class else self._best_of_all_classes
        top_scores, rows, labels = select(scores)
        top_deltas = deltas.gather(1, rows.unsqueeze(-1).expand(-1, -1, 4))
        boxes = clip_boxes(decode_boxes(top_deltas, anchors[rows], BOX_STDS), size)
        suppress = self._suppress_each_class if self.topk_per_class else self._suppress_all_classes
        kept = suppress(boxes, top_scores, labels)
        return best_detections(boxes, top_scores, labels, kept, self.max_detections, self.primitives.topk)

    def _best_of_all_classes(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best pairs of an anchor and a class: scores, anchors and labels, ``(B, K)``."""
        num_anchors, num_classes = scores.shape[1:]
        top = min(self.topk, num_anchors * num_classes)
        top_scores, pairs = self.primitives.topk(scores.flatten(1), top)
        return top_scores, pairs // num_classes, pairs % num_classes

    def _best_of_each_class(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best anchors of each class, class after class: scores, anchors and labels, ``(B, K)``."""
        num_anchors, num_classes = scores.shape[1:]
        top_scores, rows = self.primitives.topk(scores.transpose(1, 2), min(self.topk, num_anchors))
        labels = torch.arange(num_classes, device=scores.device).reshape(-1, 1).expand_as(rows)
        return top_scores.flatten(1), rows.flatten(1), labels.flatten(1)

    def _suppress_all_classes(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        # Boxes of different classes are moved apart just as far as torchvision's batched_nms moves them, so
        # that the rounding of their overlaps is the same.
        candidate = scores > self.score_threshold
        largest = torch.where(candidate.unsqueeze(-1), boxes, 0.0).amax(dim=(1, 2))
        apart = boxes + (labels * (largest + 1).unsqueeze(1)).unsqueeze(-1)
        return self._suppress(apart, scores)

    def _suppress_each_class(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        num_classes = self.network.num_classes
        top = scores.shape[1] // num_classes
        return self._suppress(boxes.reshape(-1, top, 4), scores.reshape(-1, top)).reshape(scores.shape)

    def _suppress(self, boxes: Tensor, scores: Tensor) -> Tensor:
        return self.primitives.suppress(
            boxes, scores, self.nms_threshold, self.score_threshold, self.max_detections
        )
