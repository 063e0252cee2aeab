"""Proposals may be exchanged for equally good ones, not for others."""

import torch

from detection.exporting.comparison import share_in_common
from detection.models.rpn import RPNOutput

# Five anchors of 10 x 10; the last three score the same.
ANCHORS = torch.tensor([[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(5)])
RPN = RPNOutput(torch.tensor([[3.0, 2.0, 1.0, 1.0, 1.0]]), torch.zeros(1, 5, 4), ANCHORS, [5])
SIZE = (20, 100)


def share(ours: list[int], theirs: list[int]) -> float:
    return share_in_common(ANCHORS[ours], ANCHORS[theirs], RPN, SIZE)


def test_equal_lists_in_any_order() -> None:
    assert share([0, 1, 2], [2, 0, 1]) == 1
    assert share([], []) == 1


def test_one_of_equal_score_may_stand_for_another() -> None:
    assert share([0, 1, 2], [0, 1, 4]) == 1
    assert share([0, 1, 2, 3], [0, 1, 4]) == 1


def test_one_of_another_score_may_not() -> None:
    assert share([0, 1], [0, 2]) == 0.5
    assert share([0, 1, 2, 3], [0, 1, 2]) == 0.75
    assert share([], [0]) == 0


def test_a_box_that_no_anchor_gives_is_wrong_whatever_else() -> None:
    assert share_in_common(ANCHORS[[0, 2]], ANCHORS[[0, 2]] + torch.tensor([0, 0, 0, 0.5]), RPN, SIZE) == 0
