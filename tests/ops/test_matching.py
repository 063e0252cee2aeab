"""Matching against naive loops, by hand, and without reading values back to the host."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from detection.ops.matching import match_anchors, match_bipartite


def naive_bipartite(iou: Tensor, valid: Tensor) -> list[int]:
    """One image: sort all pairs by (IoU descending, ground truth, anchor) and walk down."""
    num_gt, num_anchors = iou.shape
    matches, free = [-1] * num_anchors, {gt for gt in range(num_gt) if valid[gt]}
    pairs = [(-float(iou[gt, a]), gt, a) for gt in range(num_gt) for a in range(num_anchors)]
    for negated, gt, anchor in sorted(pairs):
        if -negated > 1e-12 and gt in free and matches[anchor] == -1:
            matches[anchor] = gt
            free.remove(gt)
    return matches


def naive_match(iou: Tensor, valid: Tensor, iou_threshold: float) -> list[int]:
    """One image: bipartite, then every other anchor takes its best ground truth if good enough."""
    matches = naive_bipartite(iou, valid)
    for anchor in range(iou.shape[1]):
        candidates = [(-float(iou[gt, anchor]), gt) for gt in range(len(valid)) if valid[gt]]
        if matches[anchor] == -1 and candidates and -min(candidates)[0] >= iou_threshold:
            matches[anchor] = min(candidates)[1]
    return matches


def random_case(seed: int) -> tuple[Tensor, Tensor]:
    """A few images; IoUs on a coarse grid, so that ties are everywhere, or continuous."""
    generator = torch.Generator().manual_seed(seed)
    num_gt = int(torch.randint(1, 9, (), generator=generator))
    num_anchors = int(torch.randint(1, 25, (), generator=generator))
    num_levels = (2, 3, 5, 9, 1000)[seed % 5]
    iou = torch.randint(0, num_levels, (3, num_gt, num_anchors), generator=generator) / (num_levels - 1)
    valid = torch.rand(3, num_gt, generator=generator) < 0.7
    return iou, valid


@pytest.mark.parametrize("seed", range(400))
def test_bipartite_and_full_matching_equal_naive_loops(seed: int) -> None:
    iou, valid = random_case(seed)
    untouched = iou.clone()
    bipartite, full = match_bipartite(iou, valid), match_anchors(iou, valid, 0.5)
    for image in range(len(iou)):
        assert bipartite[image].tolist() == naive_bipartite(iou[image], valid[image])
        assert full[image].tolist() == naive_match(iou[image], valid[image], 0.5)
    assert torch.equal(iou, untouched)


def test_two_ground_truths_that_share_the_best_anchor_both_get_one() -> None:
    iou = torch.tensor([[[0.9, 0.2, 0.1], [0.8, 0.1, 0.3]]])
    assert match_bipartite(iou, torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0, -1, 1]]


def test_a_chain_of_conflicts_reaches_the_last_candidate() -> None:
    iou = torch.tensor([[0.9, 0.3, 0.1, 0.05], [0.8, 0.7, 0.1, 0.05], [0.6, 0.5, 0.4, 0.05]]).unsqueeze(0)
    assert match_bipartite(iou, torch.ones(1, 3, dtype=torch.bool)).tolist() == [[0, 1, 2, -1]]


def test_more_ground_truths_than_anchors_leaves_the_worst_out() -> None:
    iou = torch.tensor([[[0.2, 0.3], [0.9, 0.1], [0.1, 0.8]]])
    assert match_bipartite(iou, torch.ones(1, 3, dtype=torch.bool)).tolist() == [[1, 2]]


def test_equal_ious_go_to_the_lower_ground_truth_and_the_lower_anchor() -> None:
    iou = torch.full((1, 2, 4), 0.5)
    valid = torch.ones(1, 2, dtype=torch.bool)
    assert match_bipartite(iou, valid).tolist() == [[0, 1, -1, -1]]
    assert match_anchors(iou, valid, 0.5).tolist() == [[0, 1, 0, 0]]


def test_a_ground_truth_that_overlaps_nothing_matches_nothing() -> None:
    iou = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.3, 0.1]]])
    assert match_anchors(iou, torch.ones(1, 2, dtype=torch.bool)).tolist() == [[-1, 1, -1]]
    assert match_anchors(torch.zeros(1, 2, 3), torch.ones(1, 2, dtype=torch.bool)).tolist() == [[-1, -1, -1]]


def test_a_bipartite_match_below_the_threshold_is_kept_and_beats_a_better_ground_truth() -> None:
    # Anchor 0 is best for ground truth 0, but ground truth 1 has only anchor 1, which prefers 0.
    iou = torch.tensor([[[0.9, 0.8], [0.0, 0.2]]])
    assert match_anchors(iou, torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0, 1]]


def test_padding_never_matches_whatever_its_iou() -> None:
    iou = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.6, 0.2]]])
    valid = torch.tensor([[False, True]])
    assert match_anchors(iou, valid).tolist() == [[-1, 1, -1]]
    assert match_anchors(iou, torch.zeros_like(valid)).tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize("match", [match_bipartite, match_anchors])
def test_no_ground_truth(match: Any) -> None:
    matches = match(torch.zeros(2, 0, 5), torch.zeros(2, 0, dtype=torch.bool))
    assert matches.dtype == torch.int64
    assert matches.tolist() == [[-1] * 5] * 2


@pytest.mark.parametrize("iou_threshold", [0, -0.1, 1.5])
def test_a_threshold_outside_the_unit_interval_is_refused(iou_threshold: float) -> None:
    with pytest.raises(ValueError, match="iou_threshold"):
        match_anchors(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), iou_threshold)


def test_no_value_is_read_back_and_the_operations_do_not_grow_with_the_batch() -> None:
    # Tensors on the meta device have no values: reading one, or a shape that depends on one, raises.
    counts = []
    for batch_size in (1, 32):
        iou = torch.empty(batch_size, 6, 50, device="meta")
        valid = torch.empty(batch_size, 6, dtype=torch.bool, device="meta")
        counts.append(len(make_fx(match_anchors)(iou, valid, 0.5).graph.nodes))
    assert counts[0] == counts[1] > 10
