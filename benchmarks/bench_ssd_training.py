"""Rows 1 to 3: from SSD's outputs and the ground truth to the loss and its gradient."""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from benchmarks.counting import as_on_a_gpu, count_operations
from benchmarks.detector_outputs import GroundTruth, ground_truth, raw_predictions, ssd300_anchors
from benchmarks.harness import Benchmark, Result, counted, timed
from detection.losses.multibox import multibox_loss
from detection.targets.ssd import assign_ssd_targets

_BATCH = 32


def step(anchors: Tensor, gt: GroundTruth, logits: Tensor, deltas: Tensor) -> Tensor:
    """Ours: targets, loss and gradient."""
    logits.grad = deltas.grad = None
    targets = assign_ssd_targets(anchors, *gt)
    loss = multibox_loss(logits, deltas, *targets).total
    loss.backward()
    return loss.detach()


def torchvision_step(anchors: Tensor, gt: list[dict[str, Tensor]], logits: Tensor, deltas: Tensor) -> Tensor:
    """The same by torchvision's SSD."""
    logits.grad = deltas.grad = None
    matches = [torchvision_matches(anchors, image["boxes"]) for image in gt]
    network = SimpleNamespace(box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3.0)
    outputs = {"bbox_regression": deltas, "cls_logits": logits}
    losses = SSD.compute_loss(network, gt, outputs, [anchors] * len(gt), matches)
    loss: Tensor = losses["bbox_regression"] + losses["classification"]
    loss.backward()
    return loss.detach()


def torchvision_matches(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Index of the object of each anchor, or -1."""
    matches: Tensor = SSDMatcher(0.5)(box_iou(boxes, anchors))
    return matches


def torchvision_ground_truth(gt: GroundTruth) -> list[dict[str, Tensor]]:
    """A list of images without padding; torchvision's labels start at 1."""
    return [
        {"boxes": boxes[labels >= 0], "labels": labels[labels >= 0] + 1}
        for boxes, labels in zip(*gt, strict=True)
    ]


def targets_and_loss() -> Iterator[Result]:
    """Row 1."""
    anchors, gt = ssd300_anchors(), ground_truth(_BATCH, 1, 20)
    logits, deltas = (x.requires_grad_() for x in raw_predictions(_BATCH, len(anchors)))
    images = torchvision_ground_truth(gt)
    _check_same_targets(anchors, gt, images)
    yield timed(
        "1",
        "SSD targets + loss, forward + backward, batch 32, 1-20 objects",
        partial(step, anchors, gt, logits, deltas),
        partial(torchvision_step, anchors, images, logits, deltas),
        at_most=0.60,
    )
    peak = count_operations(partial(assign_ssd_targets, anchors, *gt)).peak_bytes
    yield counted("1", "most memory of its tensors while targets are assigned", peak / 1e6, 16, "MB")


def _check_same_targets(anchors: Tensor, gt: GroundTruth, images: list[dict[str, Tensor]]) -> None:
    """Equal except where objects share a best anchor: torchvision gives it to the last of them alone."""
    labels = assign_ssd_targets(anchors, *gt).labels
    for ours, image in zip(labels, images, strict=True):
        best = box_iou(image["boxes"], anchors).argmax(dim=1)
        if len(best.unique()) == len(best):
            matches = torchvision_matches(anchors, image["boxes"])
            assert torch.equal(ours, image["labels"][matches.clamp(min=0)].where(matches >= 0, 0))


def kernels_and_waits() -> Iterator[Result]:
    """Row 2."""
    anchors = ssd300_anchors()
    for batch_size in (_BATCH, 4):
        gt = ground_truth(batch_size, 1, 20)
        logits, deltas = (x.requires_grad_() for x in raw_predictions(batch_size, len(anchors)))
        with as_on_a_gpu():
            ours = count_operations(partial(step, anchors, gt, logits, deltas))
        images = torchvision_ground_truth(gt)
        theirs = count_operations(partial(torchvision_step, anchors, images, logits, deltas))
        work = f"the same on a GPU, batch {batch_size}"
        yield counted("2", work, ours.kernels, 100, "kernels", theirs.kernels)
        yield counted("2", work, ours.syncs, 2, "syncs", theirs.syncs)


def hard_negatives() -> Iterator[Result]:
    """Row 3."""
    anchors, gt = ssd300_anchors(), ground_truth(_BATCH, 1, 20)
    labels = assign_ssd_targets(anchors, *gt).labels
    logits, deltas = raw_predictions(_BATCH, len(anchors))
    logits.requires_grad_()
    ours = partial(_gradient, logits, lambda: multibox_loss(logits, deltas, labels, deltas).cls)
    theirs = partial(_gradient, logits, lambda: torchvision_classification_loss(logits, labels))
    torch.testing.assert_close(ours(), theirs(), rtol=1e-6, atol=1e-9)
    yield timed("3", "hard-negative classification loss, forward + backward", ours, theirs, at_most=0.47)


def _gradient(logits: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    [gradient] = torch.autograd.grad(loss(), logits)
    return gradient


def torchvision_classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The last part of torchvision's ``SSD.compute_loss``, which cannot be called by itself: two sorts."""
    cross_entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    positive = labels > 0
    num_negative = 3 * positive.sum(1, keepdim=True)
    negative_loss = cross_entropy.clone()
    negative_loss[positive] = -float("inf")
    rank = negative_loss.sort(1, descending=True)[1].sort(1)[1]
    total = cross_entropy[positive].sum() + cross_entropy[rank < num_negative].sum()
    return total / positive.sum().clamp(min=1)


ROWS: dict[str, Benchmark] = {"1": targets_and_loss, "2": kernels_and_waits, "3": hard_negatives}
