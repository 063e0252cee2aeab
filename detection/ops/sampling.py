"""Which anchors or proposals take part in a loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from detection.ops import processor
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
    negative_loss = loss.detach().masked_fill(positive, -1)
    if processor.on_cpu(loss):  # ranking only as many as will be kept is far cheaper than ranking all
        _, ranked = stable_topk(negative_loss, int(num_kept.max()))
    else:
        ranked = negative_loss.sort(dim=1, descending=True, stable=True).indices
    kept = torch.arange(ranked.shape[1], device=loss.device) < num_kept
    return torch.zeros_like(positive).scatter(1, ranked, kept)


def sample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw positives and negatives at random, without replacement (Ren et al. 2015, section 3.1.3).

    Positives take at most their fraction of the samples and negatives fill the rest; where there are
    not enough of both, fewer are drawn.

    Args:
        labels: int64 ``(N,)``: above 0 positive, 0 negative, below 0 never drawn.
        num_samples: how many to draw.
        positive_fraction: upper limit on the share of positives, in ``[0, 1]``.
        generator: decides, on the labels' device; torch's default one if None.

    Returns:
        Indices of the positives and of the negatives, int64 ``(P,)`` and ``(Q,)``, all different and in
        random order.
    """
    positives = _draw((labels > 0).nonzero().flatten(), int(num_samples * positive_fraction), generator)
    negatives = _draw((labels == 0).nonzero().flatten(), num_samples - len(positives), generator)
    return positives, negatives


def generators(
    seeds: Sequence[int] | None, count: int, stream: int, device: torch.device
) -> list[torch.Generator | None]:
    """A generator for each image, so that neither its neighbours nor its process change what is drawn for it.

    Args:
        seeds: of the images; None for torch's default generator.
        count: number of images.
        stream: 0 or 1: two purposes with the same seeds draw different numbers.
        device: where numbers are drawn.
    """
    if seeds is None:
        return [None] * count
    return [torch.Generator(device).manual_seed(2 * seed + stream) for seed in seeds]


def _draw(candidates: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    order = torch.randperm(len(candidates), device=candidates.device, generator=generator)
    return candidates[order[:count]]
