"""What the programs of both detectors share: their results, and suppression with outputs of a fixed shape.

Shapes: ``N`` independent sets (an image, one of its classes, one of its feature levels) of ``K`` boxes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

from detection.ops.topk import stable_topk

# Longer than the sides of any image, so boxes of different sets never overlap (pixels).
_APART = 2**16
_TWO_MORE = ((0.0, 0.0, 1.0, 1.0), (2.0, 2.0, 3.0, 3.0))


def suppress(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, limit: int
) -> Tensor:
    """Greedy suppression within each set; of equal scores the lower index wins.

    Args:
        boxes: ``(N, K, 4)`` float32.
        scores: ``(N, K)`` float32.
        iou_threshold: a box is dropped if its IoU with a better one of its set is above this.
        score_threshold: a score must be above this.
        limit: how many survivors of a set are needed; whether further ones are kept is left open.

    Returns:
        bool ``(N, K)``: which boxes survive.
    """
    # torchvision tells torch.export that two boxes or more are kept, and the program would insist on it:
    # two boxes beside all sets see to that.
    places = torch.cat((boxes.reshape(-1, 4), boxes.new_tensor(_TWO_MORE)))
    ranks = torch.cat((scores.flatten(), scores.new_full((2,), torch.inf)))
    candidates = (ranks > score_threshold).nonzero().squeeze(1)
    # Exact in float64, where float32 would move boxes by fractions of a pixel.
    apart = places[candidates].double() + (candidates // scores.shape[1] * _APART).unsqueeze(1)
    kept = candidates[nms(apart, ranks[candidates].double(), iou_threshold)]
    survives = torch.zeros_like(ranks, dtype=torch.bool).index_fill(0, kept, True)
    return survives[:-2].reshape(scores.shape)


@torch.library.custom_op("lightning_detection::suppress", mutates_args=())
def suppress_operator(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, limit: int
) -> Tensor:
    """The same as one node of an exported graph, which `suppress_as_onnx` translates."""
    return suppress(boxes, scores, iou_threshold, score_threshold, limit)


@suppress_operator.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, limit: int) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def translation_to_onnx() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the ONNX exporter writes `suppress_operator`: with the standard NonMaxSuppression."""
    from onnxscript import opset18

    op: Any = opset18  # its annotations know no Python numbers

    def suppress_as_onnx(
        boxes: Any, scores: Any, iou_threshold: float, score_threshold: float, limit: int
    ) -> Any:
        selected = op.NonMaxSuppression(
            boxes,
            op.Unsqueeze(scores, [1]),  # one class: the sets are the batch
            limit,
            _float32_at_most(iou_threshold),
            score_threshold,
        )
        places = op.Gather(selected, [0, 2], axis=1)  # set and box; the class between is always 0
        nothing = op.ConstantOfShape(op.Shape(scores))
        ones = op.Expand(op.Constant(value_float=1.0), op.Shape(places, start=0, end=1))
        return op.Cast(op.ScatterND(nothing, places, ones), to=9)

    return {torch.ops.lightning_detection.suppress.default: suppress_as_onnx}


def _float32_at_most(threshold: float) -> float:
    """The operator compares in float32, torchvision with the number itself: 0.3 must not be rounded up."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded)


TopK = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Values and indices of the largest ones of the last dimension."""


@dataclass(frozen=True)
class Primitives:
    """The two steps that the file formats express differently."""

    topk: TopK
    """Of equal values the lower index comes first."""
    suppress: Callable[[Tensor, Tensor, float, float, int], Tensor]
    """See `detection.exporting.programs.suppress`."""


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
