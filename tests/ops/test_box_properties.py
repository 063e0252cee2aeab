"""What holds for all boxes: symmetries of overlaps, codes, matches and suppression."""

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detection.ops.boxes import clip_boxes, pairwise_iou, scale_boxes
from detection.ops.coding import decode_boxes, encode_boxes
from detection.ops.matching import match_anchors
from detection.ops.postprocess import select_detections
from detection.ops.proposals import nms_best
from detection.targets.roi import RoITargets, sample_proposals
from detection.targets.rpn import assign_rpn_targets
from detection.targets.ssd import assign_ssd_targets

ALWAYS = settings(max_examples=60, derandomize=True, deadline=None, database=None)
STDS = (0.1, 0.1, 0.2, 0.2)
SIZE = (120, 160)


@st.composite
def boxes(draw: st.DrawFn, least: int = 1, most: int = 8) -> Tensor:
    """Boxes of at least two pixels, some of them beyond the image."""
    count = draw(st.integers(least, most))
    near = st.floats(-20, 140, width=32)
    side = st.floats(2, 100, width=32)
    values = [draw(st.tuples(near, near, side, side)) for _ in range(count)]
    return torch.tensor([[x, y, x + w, y + h] for x, y, w, h in values]).reshape(-1, 4)


def flipped(found: Tensor) -> Tensor:
    x1, y1, x2, y2 = found.unbind(-1)
    return torch.stack((SIZE[1] - x2, y1, SIZE[1] - x1, y2), dim=-1)


@given(boxes(), boxes(), st.floats(-500, 500, width=32), st.floats(0.25, 4, width=32))
@ALWAYS
def test_overlap_does_not_depend_on_place_scale_order_and_side(
    a: Tensor, b: Tensor, shift: float, scale: float
) -> None:
    iou = pairwise_iou(a, b)
    assert ((iou >= 0) & (iou <= 1 + 1e-6)).all()
    torch.testing.assert_close(pairwise_iou(b, a), iou.T)
    torch.testing.assert_close(pairwise_iou(a, a).diagonal(), torch.ones(len(a)), rtol=0, atol=1e-4)
    for changed in ((a + shift, b + shift), (a * scale, b * scale), (flipped(a), flipped(b))):
        torch.testing.assert_close(pairwise_iou(*changed), iou, rtol=0, atol=2e-3)


@given(boxes(most=1), boxes())
@ALWAYS
def test_codes_are_read_back(box: Tensor, anchors: Tensor) -> None:
    deltas = encode_boxes(box, anchors, STDS)
    torch.testing.assert_close(
        decode_boxes(deltas, anchors, STDS), box.expand(len(anchors), 4), rtol=1e-3, atol=0.05
    )
    mirrored = encode_boxes(flipped(box), flipped(anchors), STDS)
    torch.testing.assert_close(mirrored, deltas * torch.tensor([-1.0, 1, 1, 1]), rtol=1e-3, atol=1e-2)


@given(boxes())
@ALWAYS
def test_clipping_twice_is_clipping_once_and_scaling_has_an_inverse(found: Tensor) -> None:
    clipped = clip_boxes(found, SIZE)
    assert clip_boxes(clipped, SIZE).equal(clipped)
    assert (clipped[:, 2:] >= clipped[:, :2]).all()
    back = scale_boxes(scale_boxes(found, SIZE, (37, 411)), (37, 411), SIZE)
    torch.testing.assert_close(back, found, rtol=1e-5, atol=1e-4)


@given(boxes(most=4), boxes(least=4, most=12), st.randoms(use_true_random=False))
@ALWAYS
def test_matching_keeps_its_promises_in_any_order(truth: Tensor, anchors: Tensor, random: object) -> None:
    iou = pairwise_iou(truth, anchors)[None]
    matches = match_anchors(iou)[0]
    assert matches.shape == (len(anchors),)
    for gt in range(len(truth)):
        overlapping = iou[0, gt] > 1e-6
        assert not overlapping.any() or (matches == gt).any() or (matches[overlapping] >= 0).all(), (
            "an object has an anchor of its own, unless others have all that it overlaps"
        )
    assert (iou[0][matches.clamp(min=0), range(len(anchors))][matches >= 0] > 0).all()
    assert (iou[0].max(dim=0).values[matches < 0] < 0.5).all()
    if len(iou.unique()) == iou.numel():  # equal overlaps are settled by order
        order = list(range(len(anchors)))
        random.shuffle(order)  # type: ignore[attr-defined]
        assert match_anchors(iou[:, :, order])[0].equal(matches[order])


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 10_000))
@ALWAYS
def test_matching_follows_any_order_of_objects_and_anchors(objects: int, anchors: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    iou = torch.rand(1, objects, anchors, generator=draw)  # no two are equal
    rows, columns = torch.randperm(objects, generator=draw), torch.randperm(anchors, generator=draw)
    matches = match_anchors(iou)[0]
    place = torch.cat((rows.argsort(), torch.tensor([-1])))  # where each object went; none stays none
    assert match_anchors(iou[:, rows][:, :, columns])[0].equal(place[matches[columns]])


@given(boxes(most=4), boxes(least=4, most=12))
@ALWAYS
def test_targets_are_mirrored_and_scaled_with_the_image(truth: Tensor, anchors: Tensor) -> None:
    labels = torch.arange(len(truth))
    sizes = [(10_000, 10_000)]
    for change, sign in ((flipped, -1.0), (lambda found: found * 2, 1.0)):
        as_before = torch.tensor([sign, 1, 1, 1])
        ssd, ssd_changed = (
            assign_ssd_targets(of(anchors), of(truth)[None], labels[None])
            for of in (lambda found: found, change)
        )
        assert ssd_changed.labels.equal(ssd.labels)
        torch.testing.assert_close(ssd_changed.deltas, ssd.deltas * as_before, rtol=1e-3, atol=1e-2)
        rpn, rpn_changed = (  # all are drawn
            assign_rpn_targets(
                of(anchors),
                [of(truth)],
                sizes,
                num_samples=99,
                positive_fraction=1,
                ignore_cross_boundary=False,
            )
            for of in (lambda found: found, change)
        )
        assert rpn_changed.labels.equal(rpn.labels)
        torch.testing.assert_close(rpn_changed.deltas, rpn.deltas * as_before, rtol=1e-3, atol=1e-3)
        roi, roi_changed = (
            in_order(
                sample_proposals([of(anchors)], [of(truth)], [labels], num_samples=99, positive_fraction=1),
                of,
            )
            for of in (lambda found: found, change)
        )
        assert roi_changed[0].equal(roi[0])
        torch.testing.assert_close(roi_changed[1], roi[1] * as_before, rtol=1e-3, atol=1e-2)


def in_order(targets: RoITargets, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Labels and deltas, by the place that each proposal had before it was changed; they are drawn in any."""
    (found,) = targets.proposals
    before = change(found) if change is flipped else found
    order = sorted(range(len(found)), key=lambda i: [round(x, 2) for x in before[i].tolist()])
    return targets.labels[order], targets.deltas[order]


@given(boxes(least=2, most=10), st.floats(0.2, 0.8), st.integers(1, 10))
@ALWAYS
def test_the_best_survivors_are_those_of_the_mirrored_and_scaled_image(
    found: Tensor, threshold: float, count: int
) -> None:
    kept = nms_best(found, threshold, count)
    assert nms_best(flipped(found), threshold, count).equal(kept)
    assert nms_best(found * 2, threshold, count).equal(kept)
    assert nms_best(found[kept], threshold, count).equal(torch.arange(len(kept)))
    copies = found.repeat_interleave(2, dim=0)
    assert nms_best(copies, threshold, count).equal(kept * 2), "a copy never survives its original"


@given(boxes(least=2, most=10), st.integers(0, 1000), st.integers(2, 60))
@ALWAYS
def test_suppression_leaves_a_set_that_it_leaves_alone(anchors: Tensor, seed: int, most: int) -> None:
    anchors = anchors.remainder(30) + torch.tensor([0.0, 0, 31, 31])  # inside of the image
    logits = torch.randn(1, len(anchors), 4, generator=torch.Generator().manual_seed(seed)) * 3
    zeros = torch.zeros(1, len(anchors), 4)
    (found,) = select_detections(logits, zeros, anchors, SIZE, STDS, max_detections=most)
    assert len(found["labels"]) <= most
    assert found["scores"].equal(found["scores"].sort(descending=True).values)
    assert found["boxes"].equal(clip_boxes(found["boxes"], SIZE))
    iou = pairwise_iou(found["boxes"], found["boxes"])
    same = found["labels"][:, None] == found["labels"][None]
    assert (iou[same & ~torch.eye(len(same), dtype=torch.bool)] <= 0.45 + 1e-5).all()
    order = torch.randperm(len(anchors), generator=torch.Generator().manual_seed(seed))
    (other,) = select_detections(logits[:, order], zeros, anchors[order], SIZE, STDS, max_detections=most)
    torch.testing.assert_close(dict(other), dict(found))
    larger_size = (2 * SIZE[0], 2 * SIZE[1])
    (larger,) = select_detections(logits, zeros, anchors * 2, larger_size, STDS, max_detections=most)
    torch.testing.assert_close(larger["boxes"], found["boxes"] * 2)
    assert larger["labels"].equal(found["labels"])
    (mirrored,) = select_detections(logits, zeros, flipped(anchors), SIZE, STDS, max_detections=most)
    torch.testing.assert_close(mirrored["boxes"], flipped(found["boxes"]))
    assert mirrored["labels"].equal(found["labels"])
    (twice,) = select_detections(
        torch.cat((logits, logits), 1),
        zeros.repeat(1, 2, 1),
        anchors.repeat(2, 1),
        SIZE,
        STDS,
        max_detections=most,
    )
    torch.testing.assert_close(dict(twice), dict(found))
