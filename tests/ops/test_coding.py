"""Encoding and decoding against the formula and each other."""

import math

import pytest
import torch

from detection.ops.coding import decode_boxes, encode_boxes

STDS = (0.1, 0.1, 0.2, 0.2)


def random_boxes(*shape: int) -> torch.Tensor:
    corner = torch.rand(*shape, 2) * 200
    return torch.cat((corner, corner + torch.rand(*shape, 2) * 100 + 4), dim=-1)


def test_encode_by_hand() -> None:
    anchor = torch.tensor([0.0, 0.0, 10.0, 20.0])  # centre (5, 10), sides (10, 20)
    box = torch.tensor([1.0, 2.0, 21.0, 12.0])  # centre (11, 7), sides (20, 10)
    expected = torch.tensor([6 / 10 / 0.1, -3 / 20 / 0.1, math.log(2) / 0.2, math.log(0.5) / 0.2])
    torch.testing.assert_close(encode_boxes(box, anchor, STDS), expected)


def test_decode_inverts_encode() -> None:
    torch.manual_seed(0)
    boxes, anchors = random_boxes(500), random_boxes(500)
    decoded = decode_boxes(encode_boxes(boxes, anchors, STDS), anchors, STDS)
    torch.testing.assert_close(decoded, boxes, rtol=1e-5, atol=1e-3)


def test_encode_inverts_decode() -> None:
    torch.manual_seed(0)
    deltas, anchors = torch.randn(500, 4), random_boxes(500)
    encoded = encode_boxes(decode_boxes(deltas, anchors, STDS), anchors, STDS)
    torch.testing.assert_close(encoded, deltas, rtol=1e-4, atol=1e-3)


def test_zero_deltas_give_the_anchor() -> None:
    anchors = random_boxes(10)
    torch.testing.assert_close(decode_boxes(torch.zeros(10, 4), anchors, STDS), anchors)


def test_both_broadcast() -> None:
    torch.manual_seed(0)
    boxes, anchors = random_boxes(6, 3), random_boxes(6)
    deltas = encode_boxes(boxes, anchors.unsqueeze(1), STDS)
    assert deltas.shape == (6, 3, 4)
    assert torch.equal(deltas[:, 1], encode_boxes(boxes[:, 1], anchors, STDS))
    decoded = decode_boxes(deltas, anchors.unsqueeze(1), STDS)
    assert torch.equal(decoded[:, 2], decode_boxes(deltas[:, 2], anchors, STDS))


def test_decode_limits_the_size() -> None:
    anchor = torch.tensor([0.0, 0.0, 16.0, 16.0])
    x1, y1, x2, y2 = decode_boxes(torch.tensor([0.0, 0.0, 1e4, 1e4]), anchor, STDS).tolist()
    assert (x2 - x1, y2 - y1) == pytest.approx((1000, 1000), rel=1e-5)


def test_degenerate_boxes_and_anchors_encode_to_finite_deltas() -> None:
    boxes = torch.tensor([[5.0, 5, 5, 9], [5, 5, 9, 5], [0, 0, 0, 0], [9, 9, 1, 1]])
    anchors = torch.tensor([[0.0, 0, 10, 10], [3, 3, 3, 3]])
    assert encode_boxes(boxes.unsqueeze(1), anchors, STDS).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    boxes, anchors, deltas = (
        random_boxes(20).to(dtype),
        random_boxes(20).to(dtype),
        torch.randn(20, 4).to(dtype),
    )
    encoded, decoded = encode_boxes(boxes, anchors, STDS), decode_boxes(deltas, anchors, STDS)
    assert encoded.dtype == decoded.dtype == torch.float32
    assert torch.equal(encoded, encode_boxes(boxes.float(), anchors.float(), STDS))
    assert torch.equal(decoded, decode_boxes(deltas.float(), anchors.float(), STDS))


def test_no_boxes() -> None:
    assert encode_boxes(torch.zeros(0, 4), torch.zeros(0, 4), STDS).shape == (0, 4)
    assert decode_boxes(torch.zeros(0, 4), torch.zeros(0, 4), STDS).shape == (0, 4)
