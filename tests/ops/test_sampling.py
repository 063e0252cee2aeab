"""Hard negative mining against a naive loop, and random sampling."""

import pytest
import torch
from torch import Tensor

from detection.ops.sampling import sample_labels, select_hard_negatives
from tests.every import for_every


def naive_select(loss: Tensor, positive: Tensor, neg_pos_ratio: float) -> list[bool]:
    """One image: sort the negatives by (loss descending, index) and keep the first."""
    negatives = sorted((-float(loss[a]), a) for a in range(len(loss)) if not positive[a])
    kept = {a for _, a in negatives[: int(neg_pos_ratio * int(positive.sum()))]}
    return [a in kept for a in range(len(loss))]


@for_every(range(100))
def test_equals_a_naive_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    num_levels = (2, 4, 1000)[seed % 3]
    loss = torch.randint(0, num_levels, (4, 30), generator=generator) / 3
    positive = torch.rand(4, 30, generator=generator) < torch.tensor([[0.0], [0.1], [0.3], [0.9]])
    ratio = (3.0, 1.0, 2.5)[seed % 3]
    selected = select_hard_negatives(loss, positive, ratio)
    for image in range(4):
        assert selected[image].tolist() == naive_select(loss[image], positive[image], ratio)


def test_equal_losses_keep_exactly_the_ratio() -> None:
    positive = torch.zeros(1, 100, dtype=torch.bool)
    positive[0, 50] = True
    selected = select_hard_negatives(torch.ones(1, 100), positive, 3.0)
    assert selected.nonzero()[:, 1].tolist() == [0, 1, 2]


def test_a_certain_anchor_whose_loss_is_minus_zero_ranks_above_positives() -> None:
    loss = torch.tensor([[5.0, -0.0, -0.0]])
    positive = torch.tensor([[True, False, False]])
    assert select_hard_negatives(loss, positive, 3.0).tolist() == [[False, True, True]]


def test_no_positives_select_nothing_and_only_positives_leave_nothing() -> None:
    loss = torch.rand(2, 9)
    positive = torch.tensor([[False], [True]]).expand(2, 9)
    assert not select_hard_negatives(loss, positive, 3.0).any()


def test_no_value_is_read_back_off_the_cpu() -> None:
    loss, positive = torch.empty(4, 30, device="meta"), torch.empty(4, 30, device="meta", dtype=torch.bool)
    assert select_hard_negatives(loss, positive, 3.0).shape == (4, 30)


@pytest.mark.parametrize(
    ("num_positive", "num_negative", "expected"),
    [
        (100, 1000, (64, 192)),  # both abound
        (10, 1000, (10, 246)),  # negatives fill
        (100, 20, (64, 20)),  # positives do not
        (10, 20, (10, 20)),
        (0, 1000, (0, 256)),
        (100, 0, (64, 0)),
        (0, 0, (0, 0)),
    ],
)
def test_random_samples_are_distinct_and_as_many_as_there_are(
    num_positive: int, num_negative: int, expected: tuple[int, int]
) -> None:
    labels = torch.cat((torch.full((num_positive,), 3), torch.zeros(num_negative), torch.full((50,), -1)))
    labels = labels.long()[torch.randperm(len(labels))]
    positives, negatives = sample_labels(labels, num_samples=256, positive_fraction=0.25)
    assert (len(positives), len(negatives)) == expected
    assert positives.unique().numel() == len(positives)
    assert negatives.unique().numel() == len(negatives)
    assert (labels[positives] > 0).all()
    assert (labels[negatives] == 0).all()


def test_the_seed_decides_the_sample() -> None:
    labels = torch.arange(1000) % 4 - 1
    samples = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        samples.append(torch.cat(sample_labels(labels, 100, 0.5)).tolist())
    assert samples[0] == samples[1]
    assert samples[0] != samples[2]


def test_every_candidate_can_be_drawn() -> None:
    labels = torch.tensor([1, 0, 1, 0, -1, 1, 0])
    torch.manual_seed(0)
    drawn = {int(i) for _ in range(100) for indices in sample_labels(labels, 2, 0.5) for i in indices}
    assert drawn == {0, 1, 2, 3, 5, 6}
