"""Whether scores mean what they say: of the detections with score 0.8, are 80 % true positives?"""

from typing import NamedTuple

import numpy as np

from detection.metrics.tables import BoolArray, FloatArray, IntArray


class Calibration(NamedTuple):
    """The reliability diagram, in ``B`` bins of equal width, and its summary."""

    edges: FloatArray
    """``(B + 1,)`` from 0 to 1."""
    counts: IntArray
    """``(B,)`` detections."""
    mean_scores: FloatArray
    """``(B,)``, nan in an empty bin."""
    precision: FloatArray
    """``(B,)`` share of true positives, nan in an empty bin."""
    ece: float
    """Expected calibration error: the gap between score and precision, averaged over detections."""


def calibration(scores: FloatArray, true_positive: BoolArray, num_bins: int = 10) -> Calibration:
    """Compare scores with how often they were right.

    Args:
        scores: ``(D,)`` in ``[0, 1]``, of the detections that count.
        true_positive: ``(D,)``.
        num_bins: ``B``. A score on an edge belongs to the upper bin, and 1 to the last.

    Raises:
        ValueError: If a score is not in ``[0, 1]``.
    """
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores must be in [0, 1], got {scores.min()} to {scores.max()}")
    edges = np.arange(num_bins + 1) / num_bins
    bins = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.where(counts > 0, counts, np.nan)
    mean_scores = np.bincount(bins, weights=scores, minlength=num_bins) / filled
    precision = np.bincount(bins, weights=true_positive, minlength=num_bins) / filled
    gaps = np.abs(precision - mean_scores)[counts > 0]
    ece = float((gaps * counts[counts > 0]).sum() / len(scores)) if len(scores) else float("nan")
    return Calibration(edges, counts, mean_scores, precision, ece)
