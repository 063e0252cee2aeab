"""What SSD's training asks of a GPU besides its convolutions, whatever the batch: few kernels, few waits."""

import pytest
import torch
from torch import Tensor

from benchmarks.counting import CountOperations, as_on_a_gpu, count_operations
from benchmarks.detector_outputs import GroundTruth, ground_truth, raw_predictions, ssd300_anchors
from detection.losses.multibox import multibox_loss
from detection.targets.ssd import assign_ssd_targets


def count_training(batch_size: int, gt: GroundTruth) -> CountOperations:
    """Targets, loss and gradient as on a GPU."""
    anchors = ssd300_anchors()
    logits, deltas = (x.requires_grad_() for x in raw_predictions(batch_size, len(anchors)))

    def train() -> None:
        targets = assign_ssd_targets(anchors, *gt)
        multibox_loss(logits, deltas, *targets).total.backward()

    with as_on_a_gpu():
        return count_operations(train)


@pytest.mark.parametrize("most", [1, 20])
def test_ssd_targets_and_loss_are_few_kernels_and_two_waits_for_any_batch(most: int) -> None:
    counts = [count_training(size, ground_truth(size, 1, most, seed=1)) for size in (4, 32)]
    assert counts[1].kernels <= 100, counts[1].kernels
    assert counts[1].syncs <= 2, counts[1].reads
    # Contested anchors, of which a larger batch is more likely to have some, cost a fixed number on top.
    assert counts[1].kernels - counts[0].kernels <= 20


def test_a_contested_anchor_is_settled_in_one_more_wait() -> None:
    box, elsewhere = [10.0, 20, 80, 90], [100.0, 100, 250, 200]
    labels = torch.zeros(1, 2, dtype=torch.int64)
    clear = count_training(1, GroundTruth(torch.tensor([[box, elsewhere]]), labels))
    contested = count_training(1, GroundTruth(torch.tensor([[box, box]]), labels))
    assert clear.syncs == 1
    assert contested.syncs == 2


def test_targets_of_32_images_take_little_memory_on_a_cpu() -> None:
    anchors, gt = ssd300_anchors(), ground_truth(32, 1, 20)
    assert count_operations(lambda: assign_ssd_targets(anchors, *gt)).peak_bytes <= 16e6


def test_what_counts_as_a_kernel_and_as_a_wait() -> None:
    x = torch.arange(6.0)
    with CountOperations() as views:
        x.view(2, 3).transpose(0, 1)[0].detach()
    assert (views.kernels, views.syncs) == (0, 0)
    with CountOperations() as kernels:
        (x + 1).exp().sum()
    assert (kernels.kernels, kernels.syncs) == (3, 0)
    with CountOperations() as reads:
        _ = x[x > 2], x.sum().item(), x.tolist(), x.nonzero(), torch.where(x > 1)
    assert reads.syncs == 5, reads.reads


def test_the_most_memory_held_at_once() -> None:
    def run() -> Tensor:
        x = torch.zeros(1000)  # 4 kB
        y = x + 1  # two at once
        del x
        return y * 2 + 1  # three at once: y and the two products

    assert count_operations(run).peak_bytes == 12000
