"""Which anchors take part in a loss."""

import torch
from torch import Tensor

from detection.ops.topk import stable_topk


def select_hard_negatives(loss: Tensor, positive: Tensor, neg_pos_ratio: float) -> Tensor:
    """Select, in each image, the negatives with the highest loss (Liu et al. 2016, section 2.2).

    An image with ``n`` positives keeps ``floor(neg_pos_ratio * n)`` negatives, or all it has if they are
    fewer; an image without positives keeps none. Of equal losses the lower anchor index is kept.

    Args:
        loss: ``(B, A)``, non-negative; no gradient flows through the selection.
        positive: bool ``(B, A)``.
        neg_pos_ratio: negatives kept per positive.

    Returns:
        bool ``(B, A)``, never True where ``positive`` is.
    """
    num_anchors = loss.shape[1]
    num_positives = positive.sum(dim=1, keepdim=True)
    num_kept = (neg_pos_ratio * num_positives).long().minimum(num_anchors - num_positives)
    # Ranking only as many as will be kept is far cheaper than ranking all, but reading that number
    # stalls a GPU, which ranks all in less time than it would wait.
    k = int(num_kept.max()) if loss.device.type == "cpu" else num_anchors
    _, ranked = stable_topk(loss.detach().masked_fill(positive, -1), k)
    kept = torch.arange(k, device=loss.device) < num_kept
    return torch.zeros_like(positive).scatter(1, ranked, kept)
