import pytest
import torch
from torch import Tensor

from detection.models.rpn import RPN
from detection.ops.rpn_anchors import fpn_base_anchors, rpn_base_anchors

VOC_ANCHORS = rpn_base_anchors(16, (0.5, 1, 2), (2, 4, 8, 16, 32))


def toy_rpn(**overrides: object) -> RPN:
    torch.manual_seed(0)
    arguments = {
        "base_anchors": [fpn_base_anchors(16, (0.5, 1, 2)), fpn_base_anchors(32, (0.5, 1, 2))],
        "strides": (8, 16),
        "min_size": 1,
    }
    return RPN(4, 6, **{**arguments, **overrides})  # type: ignore[arg-type]


def toy_features() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, 4, 6, 8), torch.randn(2, 4, 3, 4)]


@pytest.mark.parametrize(
    ("cells", "num_anchors"),
    [((38, 50), 28500), ((38, 57), 32490), ((36, 63), 34020), ((38, 56), 31920), ((38, 63), 35910)],
)
def test_the_published_numbers_of_anchors(cells: tuple[int, int], num_anchors: int) -> None:
    rpn = RPN(2, 2, [VOC_ANCHORS], (16,))
    output = rpn([torch.zeros(1, 2, *cells)])
    assert output.logits.shape == (1, num_anchors)
    assert output.deltas.shape == (1, num_anchors, 4)
    assert output.anchors.shape == (num_anchors, 4)
    assert output.level_sizes == [num_anchors]


def test_predictions_are_in_the_order_of_the_anchors() -> None:
    rpn, features = toy_rpn(), toy_features()
    output = rpn(features)
    assert output.level_sizes == [144, 36]
    row, col, k = 2, 1, 1
    index = 144 + (row * 4 + col) * 3 + k
    hidden = rpn.conv(features[1]).relu()
    torch.testing.assert_close(output.logits[:, index], rpn.score(hidden)[:, k, row, col])
    torch.testing.assert_close(output.deltas[:, index], rpn.box(hidden)[:, 4 * k : 4 * k + 4, row, col])
    assert output.anchors[index].tolist() == [16 * col - 16, 16 * row - 16, 16 * col + 16, 16 * row + 16]


def test_the_head_starts_from_small_weights_and_zero_bias() -> None:
    rpn = RPN(64, 64, [VOC_ANCHORS], (16,))
    for layer in (rpn.conv, rpn.score, rpn.box):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert layer.bias is not None
        assert (layer.bias == 0).all()


def test_the_mode_decides_how_many_are_proposed() -> None:
    rpn = toy_rpn(pre_nms_top=(100, 50), post_nms_top=(40, 10), nms_threshold=1.0)
    output = rpn(toy_features())
    sizes = [(48, 64), (40, 40)]
    assert [len(boxes) for boxes in rpn.train().propose(output, sizes)] == [40, 40]
    assert [len(boxes) for boxes in rpn.eval().propose(output, sizes)] == [10, 10]


def test_proposals_are_inside_the_image_and_carry_no_gradient() -> None:
    rpn = toy_rpn()
    proposals = rpn.propose(rpn(toy_features()), [(48, 64), (30, 20)])
    assert len(proposals[1]) > 0
    assert not proposals[1].requires_grad
    assert (proposals[1] >= 0).all()
    assert (proposals[1] <= torch.tensor([20.0, 30.0, 20.0, 30.0])).all()


def test_an_image_may_have_no_proposals() -> None:
    rpn = toy_rpn(min_size=1000)
    assert [box.shape for box in rpn.propose(rpn(toy_features()), [(48, 64), (30, 20)])] == [(0, 4), (0, 4)]


def test_anchors_keep_whole_pixels_in_half_precision() -> None:
    output = RPN(4, 4, [VOC_ANCHORS], (16,)).bfloat16()([torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16)])
    assert output.logits.dtype == torch.bfloat16
    assert output.anchors[4].tolist() == [-360, -184, 375, 199]


def test_base_anchors_that_do_not_fit_the_maps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each of the 1 feature maps of strides \(8,\).*got \[3, 3\]"):
        toy_rpn(strides=(8,))
    with pytest.raises(ValueError, match=r"equally many for each; got \[3, 1\]"):
        toy_rpn(base_anchors=[fpn_base_anchors(8, (0.5, 1, 2)), fpn_base_anchors(8, (1,))])
