"""Proposals against torchvision's network, a naive loop and by hand."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.rpn import RegionProposalNetwork

from detection.ops.proposals import propose

SIZES = [(200, 260), (150, 300)]


def random_outputs(seed: int, num_anchors: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two images; some boxes leave the image or shrink to nothing."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_anchors, generator=generator) * 3
    deltas = torch.randn(2, num_anchors, 4, generator=generator) * 0.7
    corner = torch.rand(num_anchors, 2, generator=generator) * 320 - 40
    anchors = torch.cat((corner, corner + 4 + torch.rand(num_anchors, 2, generator=generator) * 90), dim=-1)
    return logits, deltas, anchors


def torchvision_proposals(
    logits: Tensor, deltas: Tensor, anchors: Tensor, level_sizes: list[int], pre: int, post: int, nms: float
) -> list[Tensor]:
    """What torchvision's network makes of the same outputs."""
    network = RegionProposalNetwork(
        anchor_generator=torch.nn.Identity(),
        head=torch.nn.Identity(),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": pre, "testing": pre},
        post_nms_top_n={"training": post, "testing": post},
        nms_thresh=nms,
    )
    decoded = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode(deltas.flatten(0, 1), [anchors] * 2)
    boxes: list[Tensor] = network.filter_proposals(decoded.view(2, -1, 4), logits, SIZES, level_sizes)[0]
    return boxes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level_sizes", [[3000, 1200, 300, 80, 20], [1500, 400, 7], [700]])
@pytest.mark.parametrize(("pre", "post"), [(1000, 300), (150, 1000)])
def test_equals_torchvision(seed: int, level_sizes: list[int], pre: int, post: int) -> None:
    logits, deltas, anchors = random_outputs(seed, sum(level_sizes))
    found = propose(logits, deltas, anchors, SIZES, pre, post, 0.7, min_size=1e-3, level_sizes=level_sizes)
    expected = torchvision_proposals(logits, deltas, anchors, level_sizes, pre, post, 0.7)
    for boxes, boxes_expected in zip(found, expected, strict=True):
        torch.testing.assert_close(boxes, boxes_expected, rtol=0, atol=1e-3)  # same number, same order


def naive_propose(
    logits: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int], pre: int, post: int
) -> list[list[float]]:
    """One image, one level, by loops; at least 16 pixels a side, IoU at most 0.7."""
    kept: list[list[float]] = []
    for anchor in sorted(range(len(logits)), key=lambda i: -float(logits[i]))[:pre]:
        (x1, y1, x2, y2), (dx, dy, dw, dh) = anchors[anchor].tolist(), deltas[anchor].tolist()
        x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
        w, h = (x2 - x1) * math.exp(dw), (y2 - y1) * math.exp(dh)
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        box = [min(max(value, 0.0), float(size[1 - i % 2])) for i, value in enumerate(box)]
        large = box[2] - box[0] >= 16 and box[3] - box[1] >= 16
        if large and all(naive_iou(box, other) <= 0.7 for other in kept):
            kept.append(box)
    return kept[:post]


def naive_iou(a: list[float], b: list[float]) -> float:
    overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("pre", "post"), [(400, 300), (100, 300), (400, 20)])
def test_equals_a_naive_loop(seed: int, pre: int, post: int) -> None:
    logits, deltas, anchors = random_outputs(seed, 400)
    for image, boxes in enumerate(propose(logits, deltas, anchors, SIZES, pre, post)):
        expected = naive_propose(logits[image], deltas[image], anchors, SIZES[image], pre, post)
        torch.testing.assert_close(boxes, torch.tensor(expected), rtol=0, atol=1e-3)


def test_proposals_stay_in_their_own_image_and_are_large_enough() -> None:
    logits, deltas, anchors = random_outputs(0, 2000)
    for boxes, (height, width) in zip(
        propose(logits, deltas, anchors, SIZES, 2000, 1000), SIZES, strict=True
    ):
        assert len(boxes) > 10
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 16).all()


def test_the_padding_of_a_small_image_yields_nothing() -> None:
    anchors = torch.tensor([[10.0, 10, 50, 50], [120.0, 120, 180, 180]])
    (boxes,) = propose(torch.tensor([[0.0, 9.0]]), torch.zeros(1, 2, 4), anchors, [(100, 100)], 10, 10)
    assert boxes.tolist() == [[10, 10, 50, 50]]


def test_duplicates_are_suppressed_within_a_level_only() -> None:
    anchors = torch.tensor([[10.0, 10, 50, 50]] * 3)
    outputs = torch.tensor([[1.0, 3.0, 2.0]]), torch.zeros(1, 3, 4), anchors, [(100, 100)]
    assert len(propose(*outputs, 10, 10)[0]) == 1
    assert len(propose(*outputs, 10, 10, level_sizes=[2, 1])[0]) == 2


def test_an_image_without_a_large_box_has_no_proposals() -> None:
    (boxes,) = propose(torch.ones(1, 5), torch.zeros(1, 5, 4), torch.rand(5, 4), [(100, 100)], 10, 10)
    assert boxes.shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_are_decoded_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, anchors = random_outputs(3, 500)
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    half = propose(logits, deltas, anchors, SIZES, 500, 100)
    # One level: whatever the order of equal logits, topk sees the same values.
    full = propose(logits.float(), deltas.float(), anchors, SIZES, 500, 100)
    assert all(boxes.dtype == torch.float32 for boxes in half)
    assert [len(boxes) for boxes in half] == [len(boxes) for boxes in full]


def test_no_gradient_flows_into_proposals() -> None:
    logits, deltas, anchors = random_outputs(0, 50)
    for boxes in propose(logits.requires_grad_(), deltas.requires_grad_(), anchors, SIZES, 50, 50):
        assert not boxes.requires_grad
