"""Matching against naive loops and by hand."""

import pytest
import torch
from torch import Tensor

from detection.ops.matching import match_anchors, match_bipartite
from tests.every import for_every


def naive_bipartite(iou: Tensor) -> list[int]:
    """One image: sort all pairs by (IoU descending, ground truth, anchor) and walk down."""
    num_gt, num_anchors = iou.shape
    matches, free = [-1] * num_anchors, set(range(num_gt))
    pairs = [(-float(iou[gt, a]), gt, a) for gt in range(num_gt) for a in range(num_anchors)]
    for negated, gt, anchor in sorted(pairs):
        if -negated > 1e-12 and gt in free and matches[anchor] == -1:
            matches[anchor] = gt
            free.remove(gt)
    return matches


def naive_match(iou: Tensor, iou_threshold: float) -> list[int]:
    """One image: bipartite, then every other anchor takes its best ground truth if good enough."""
    matches = naive_bipartite(iou)
    for anchor in range(iou.shape[1]):
        negated, gt = min((-float(iou[gt, anchor]), gt) for gt in range(len(iou)))
        if matches[anchor] == -1 and -negated >= iou_threshold:
            matches[anchor] = gt
    return matches


def bipartite(iou: Tensor) -> list[list[int]]:
    """The pairs of each image as an index of a ground truth, or -1, for each anchor."""
    matches = torch.full((iou.shape[0], iou.shape[2]), -1)
    images, gts, anchors = match_bipartite(iou)
    matches[images, anchors] = gts
    return matches.tolist()


def random_case(seed: int) -> Tensor:
    """A few images; IoUs on a coarse grid, so that ties are everywhere, or continuous; padded rows are 0."""
    generator = torch.Generator().manual_seed(seed)
    num_gt = int(torch.randint(1, 9, (), generator=generator))
    num_anchors = int(torch.randint(1, 25, (), generator=generator))
    num_levels = (2, 3, 5, 9, 1000)[seed % 5]
    iou = torch.randint(0, num_levels, (3, num_gt, num_anchors), generator=generator) / (num_levels - 1)
    padded = torch.rand(3, num_gt, 1, generator=generator) < 0.3
    return iou.masked_fill(padded, 0)


@for_every(range(400))
def test_bipartite_and_full_matching_equal_naive_loops(seed: int) -> None:
    iou = random_case(seed)
    untouched = iou.clone()
    pairs, full = bipartite(iou), match_anchors(iou, 0.5)
    for image in range(len(iou)):
        assert pairs[image] == naive_bipartite(iou[image])
        assert full[image].tolist() == naive_match(iou[image], 0.5)
    assert torch.equal(iou, untouched)


def test_two_ground_truths_that_share_the_best_anchor_both_get_one() -> None:
    iou = torch.tensor([[[0.9, 0.2, 0.1], [0.8, 0.1, 0.3]]])
    assert bipartite(iou) == [[0, -1, 1]]


def test_a_chain_of_conflicts_reaches_the_last_candidate() -> None:
    iou = torch.tensor([[0.9, 0.3, 0.1, 0.05], [0.8, 0.7, 0.1, 0.05], [0.6, 0.5, 0.4, 0.05]]).unsqueeze(0)
    assert bipartite(iou) == [[0, 1, 2, -1]]


def test_more_ground_truths_than_anchors_leaves_the_worst_out() -> None:
    iou = torch.tensor([[[0.2, 0.3], [0.9, 0.1], [0.1, 0.8]]])
    assert bipartite(iou) == [[1, 2]]


def test_equal_ious_go_to_the_lower_ground_truth_and_the_lower_anchor() -> None:
    iou = torch.full((1, 2, 4), 0.5)
    assert bipartite(iou) == [[0, 1, -1, -1]]
    assert match_anchors(iou, 0.5).tolist() == [[0, 1, 0, 0]]


def test_a_ground_truth_that_overlaps_nothing_matches_nothing() -> None:
    iou = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.3, 0.1]]])
    assert match_anchors(iou).tolist() == [[-1, 1, -1]]
    assert match_anchors(torch.zeros(1, 2, 3)).tolist() == [[-1, -1, -1]]


def test_a_bipartite_match_below_the_threshold_is_kept_and_beats_a_better_ground_truth() -> None:
    # Anchor 0 is best for ground truth 0, but ground truth 1 has only anchor 1, which prefers 0.
    iou = torch.tensor([[[0.9, 0.8], [0.0, 0.2]]])
    assert match_anchors(iou).tolist() == [[0, 1]]


def test_a_chain_of_conflicts_in_one_image_of_a_batch_leaves_the_others_alone() -> None:
    contested = torch.tensor([[0.9, 0.3, 0.1], [0.8, 0.7, 0.1], [0.6, 0.65, 0.4]])
    clear = torch.tensor([[0.1, 0.9, 0.2], [0.0, 0.0, 0.0], [0.8, 0.0, 0.1]])
    assert bipartite(torch.stack((clear, contested))) == [[2, 0, -1], [0, 1, 2]]


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 3, 0), (0, 3, 5)])
def test_nothing_to_match(shape: tuple[int, int, int]) -> None:
    matches = match_anchors(torch.zeros(shape))
    assert matches.dtype == torch.int64
    assert matches.tolist() == [[-1] * shape[2]] * shape[0]


@pytest.mark.parametrize("iou_threshold", [0, -0.1, 1.5])
def test_a_threshold_outside_the_unit_interval_is_refused(iou_threshold: float) -> None:
    with pytest.raises(ValueError, match="iou_threshold"):
        match_anchors(torch.zeros(1, 1, 1), iou_threshold)
