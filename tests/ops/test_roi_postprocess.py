"""Detections of the second stage against torchvision's, by hand and in the empty cases."""

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads

from detection.ops.roi_postprocess import select_roi_detections

SIZES = [(120, 160), (200, 90), (100, 100)]


def random_outputs(seed: int, counts: list[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(counts), 6, generator=generator) * 2
    deltas = torch.randn(sum(counts), 5, 4, generator=generator)
    corner = torch.rand(sum(counts), 2, generator=generator) * 130
    sides = torch.rand(sum(counts), 2, generator=generator) * 60
    return logits, deltas, list(torch.cat((corner, corner + sides), dim=-1).split(counts))


def torchvision_heads(score_threshold: float, nms_threshold: float, max_detections: int) -> RoIHeads:
    return RoIHeads(
        box_roi_pool=None,
        box_head=None,
        box_predictor=None,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=128,
        positive_fraction=0.25,
        bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
        detections_per_img=max_detections,
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("counts", [[100, 30, 60], [40, 0, 1], [1200, 5, 900]])
@pytest.mark.parametrize(("score", "nms", "limit"), [(0.05, 0.3, 100), (0.05, 0.5, 20), (0.01, 0.5, 1000)])
def test_equals_torchvision(seed: int, counts: list[int], score: float, nms: float, limit: int) -> None:
    logits, deltas, proposals = random_outputs(seed, counts)
    found = select_roi_detections(
        logits,
        deltas,
        proposals,
        SIZES,
        score_threshold=score,
        nms_threshold=nms,
        max_detections=limit,
    )
    # Theirs has a box for the background, too, and keeps background as label 0.
    theirs = torch.cat((torch.zeros(len(deltas), 1, 4), deltas), dim=1).flatten(1)
    expected = torchvision_heads(score, nms, limit).postprocess_detections(logits, theirs, proposals, SIZES)
    for detections, boxes, scores, labels in zip(found, *expected, strict=True):
        assert detections["labels"].tolist() == (labels - 1).tolist()
        torch.testing.assert_close(detections["scores"], scores)
        torch.testing.assert_close(detections["boxes"], boxes, rtol=0, atol=1e-3)


def test_one_proposal_by_hand() -> None:
    # Two classes exceed the threshold; each moves the proposal by its own deltas.
    logits = torch.tensor([[0.5, 0.3, 0.01, 0.19]]).log()
    deltas = torch.tensor([[[0.0, 0, 0, 0], [9, 9, 9, 9], [1, -2, 0, 0]]])
    (detections,) = select_roi_detections(logits, deltas, [torch.tensor([[20.0, 20, 40, 60]])], [(50, 100)])
    assert detections["labels"].tolist() == [0, 2]
    torch.testing.assert_close(detections["scores"], torch.tensor([0.3, 0.19]))
    # Shift (0.1 * 20, -0.2 * 40); both are clipped to the height of 50.
    torch.testing.assert_close(detections["boxes"], torch.tensor([[20.0, 20, 40, 50], [22.0, 12, 42, 50]]))


def test_scores_descend_and_boxes_stay_in_their_image() -> None:
    logits, deltas, proposals = random_outputs(0, [100, 100, 100])
    detections = select_roi_detections(logits, deltas, proposals, SIZES, score_threshold=0.01)
    for found, (height, width) in zip(detections, SIZES, strict=True):
        assert len(found["scores"]) == 100
        assert (found["scores"].diff() <= 0).all()
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height, width, height])).all()


@pytest.mark.parametrize("counts", [[0, 0, 0], [0, 12, 0]])
def test_an_image_without_proposals_has_no_detections(counts: list[int]) -> None:
    detections = select_roi_detections(*random_outputs(1, counts), SIZES, score_threshold=0.0)
    for count, found in zip(counts, detections, strict=True):
        assert (len(found["boxes"]) > 0) == (count > 0)
        assert found["boxes"].shape[1:] == (4,)
        assert found["labels"].dtype == torch.int64


def test_a_box_outside_the_image_is_no_detection() -> None:
    logits = torch.tensor([[0.0, 9.0]])
    outside = torch.tensor([[130.0, 20, 170, 60]])
    (found,) = select_roi_detections(logits, torch.zeros(1, 1, 4), [outside], [(100, 100)])
    assert found["boxes"].shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, proposals = random_outputs(2, [50, 20, 30])
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    half = select_roi_detections(logits, deltas, proposals, SIZES)
    full = select_roi_detections(logits.float(), deltas.float(), proposals, SIZES)
    for found, expected in zip(half, full, strict=True):
        assert torch.equal(found["boxes"], expected["boxes"])
        assert torch.equal(found["scores"], expected["scores"])
