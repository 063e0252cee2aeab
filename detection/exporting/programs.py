"""What the programs of both detectors share: what they are made of and what they return."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detection.exporting.suppression import suppress, suppress_operator
from detection.ops.topk import stable_topk

TopK = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Values and indices of the largest ones of the last dimension."""


@dataclass(frozen=True)
class Primitives:
    """The two steps that the file formats express differently."""

    topk: TopK
    """Of equal values the lower index comes first."""
    suppress: Callable[[Tensor, Tensor, float, float, int], Tensor]
    """See `detection.exporting.suppression.suppress`."""


IN_TORCH = Primitives(stable_topk, suppress)
# ONNX defines its TopK to be stable, so that torch's plain one becomes stable there.
IN_ONNX = Primitives(torch.topk, suppress_operator)


def best_detections(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    kept: Tensor,
    max_detections: int,
    topk: TopK,
) -> dict[str, Tensor]:
    """Sort what was kept and pad it.

    Args:
        boxes: ``(B, K, 4)``.
        scores: ``(B, K)``, non-negative.
        labels: int64 ``(B, K)``.
        kept: bool ``(B, K)``.
        max_detections: D, unless K is less.
        topk: a stable one.

    Returns:
        ``boxes`` ``(B, D, 4)``, zeros where padded; ``scores`` ``(B, D)``, 0 where padded; ``labels``
        ``(B, D)``, -1 where padded; ``num_detections`` ``(B,)``, how many are real.
    """
    ranked, order = topk(torch.where(kept, scores, -1.0), min(max_detections, scores.shape[1]))
    real = ranked >= 0
    boxes = boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
    return {
        "boxes": torch.where(real.unsqueeze(-1), boxes, 0.0),
        "scores": torch.where(real, ranked, 0.0),
        "labels": torch.where(real, labels.gather(1, order), -1),
        "num_detections": real.sum(dim=1),
    }
