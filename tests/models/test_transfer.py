"""What two sets of classes share keeps its predictors."""

import pytest
import torch
from torch import Tensor, nn

from detection.models.backbones import MobileNetV2Backbone, ResNetBackbone
from detection.models.backbones.tiny import TinyBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import SSD, build_ssd
from detection.models.transfer import copy_class_predictor, copy_class_rows, match_classes

OLD = ["cat", "dog", "Person", "sofa"]
NEW = ["zebra", " person ", "cat"]


def test_names_match_regardless_of_case_and_space() -> None:
    assert match_classes(OLD, NEW) == {1: 2, 2: 0}


def test_an_exact_name_wins_over_one_in_another_case() -> None:
    assert match_classes(["cat", "Cat"], ["Cat", "cat", "CAT"]) == {0: 1, 1: 0, 2: 0}


def test_a_class_may_start_from_one_of_another_name() -> None:
    assert match_classes(OLD, ["couch", "person", "dog"], {"couch": "sofa", "dog": "cat"}) == {
        0: 3,
        1: 2,
        2: 0,
    }


def test_unknown_names_to_reuse_are_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match=r"no old class 'sofas'(?s:.*)Did you mean 'sofa'"):
        match_classes(OLD, ["couch"], {"couch": "sofas"})
    with pytest.raises(ValueError, match=r"no new class 'coach'(?s:.*)Did you mean 'couch'"):
        match_classes(OLD, ["couch"], {"coach": "sofa"})


def test_rows_move_within_every_group() -> None:
    old, new = nn.Linear(1, 2 * 3), nn.Linear(1, 2 * 4)  # two anchors, classes with background
    nn.init.constant_(new.weight, -1)
    with torch.no_grad():
        old.bias.copy_(torch.tensor([0.0, 1, 2, 10, 11, 12]))
        new.bias.fill_(-1)
    copy_class_rows(old, new, {0: 0, 3: 1}, groups=2, old_rows=3)
    assert new.bias.tolist() == [0, -1, -1, 1, 10, -1, -1, 11]
    assert new.weight[[1, 2, 5, 6]].eq(-1).all()
    assert torch.equal(new.weight[[0, 3, 4, 7]], old.weight[[0, 1, 3, 4]])


@pytest.mark.parametrize("kept", [{1: 0}, {}, {0: 1, 1: 0, 2: 0}])
def test_new_classes_begin_as_unlikely_as_the_known_ones(kept: dict[int, int]) -> None:
    old, new = nn.Linear(1, 2 * 3), nn.Linear(1, 2 * 4)
    with torch.no_grad():
        old.bias.copy_(torch.tensor([5.0, -1, -2, 6, -3, -5]))
        new.bias.fill_(7)
    began = new.weight.detach().clone()
    copy_class_predictor(old, new, kept, groups=2)
    for group in range(2):
        rows = old.weight[3 * group : 3 * group + 3]
        for label in set(range(3)) - kept.keys():
            begins = rows[1:].mean(dim=0) + began[4 * group + 1 + label]
            torch.testing.assert_close(new.weight[4 * group + 1 + label], begins)
    for group, (mean, known) in enumerate(((-1.5, (5, -1, -2)), (-4, (6, -3, -5)))):
        expected = [known[kept[label] + 1] if label in kept else mean for label in range(3)]
        assert new.bias[4 * group : 4 * group + 4].tolist() == [known[0], *expected]


def same(ours: Tensor, expected: Tensor) -> None:
    # The weights are equal to the bit; a multiplication of another shape may round its sums differently.
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("lite", [False, True])
@torch.no_grad()
def test_an_ssd_keeps_the_logits_of_kept_classes(lite: bool, channels_last: bool) -> None:
    torch.manual_seed(0)
    backbone = MobileNetV2Backbone(None) if lite else TinyBackbone(None)
    network = build_ssd(backbone, len(OLD), 300 if lite else 128).eval()
    if channels_last:
        network.to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (1, 3, 300, 300), dtype=torch.uint8)
    before = network(images)
    rows = [head[-1].weight.clone() for head in network.class_heads]  # type: ignore[index]
    assert network.reset_classes(OLD, NEW) == {" person ": "Person", "cat": "cat"}
    after = network(images)
    assert after.logits.shape[-1] == 4
    same(after.logits[..., [0, 2, 3]], before.logits[..., [0, 3, 1]])
    assert torch.equal(after.deltas, before.deltas)
    for head, old in zip(network.class_heads, rows, strict=True):
        new = head[-1].weight.unflatten(0, (-1, 4))  # type: ignore[index]
        assert torch.equal(new[:, [0, 2, 3]], old.unflatten(0, (-1, 5))[:, [0, 3, 1]])
        assert head[-1].bias.unflatten(0, (-1, 4))[:, 1].eq(0).all()  # type: ignore[index]
        assert new[:, 1].std() > 0.5 * new[:, 0].std()


def faster_rcnns() -> list[FasterRCNN]:
    c4 = build_faster_rcnn_c4(ResNetBackbone(18, None, strides=(16,)), len(OLD), post_nms_top=(50, 20))
    fpn = build_faster_rcnn_fpn(
        TinyBackbone(None), len(OLD), channels=8, dense_channels=16, anchor_sizes=(16, 32, 64, 128)
    )
    return [c4, fpn]


@pytest.mark.parametrize("kind", [0, 1], ids=["c4", "fpn"])
@torch.no_grad()
def test_a_faster_rcnn_keeps_the_logits_and_boxes_of_kept_classes(kind: int) -> None:
    torch.manual_seed(0)
    network = faster_rcnns()[kind].eval()
    nn.init.normal_(network.roi_head.box_predictor.bias)
    images = [torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)]
    before = network(images).roi
    network.reset_classes(OLD, NEW, {"zebra": "dog"})
    after = network(images).roi
    assert (after.logits.shape[1], after.deltas.shape[1]) == (4, 3)
    same(after.logits, before.logits[:, [0, 2, 3, 1]])
    same(after.deltas, before.deltas[:, [1, 2, 0]])
    known = network.roi_head.class_predictor.weight, network.roi_head.box_predictor.weight
    network.reset_classes(NEW, ["tree", "cat"])
    same(network(images).roi.logits[:, [0, 2]], before.logits[:, [0, 1]])
    assert not (network.roi_head.class_predictor.weight[1] == known[0]).all(dim=1).any()
    assert not (network.roi_head.box_predictor.weight[0] == known[1]).all(dim=1).any()
    if kind == 0:  # the pyramid's predictors start with biases
        assert network.roi_head.class_predictor.bias[1] == 0
        assert network.roi_head.box_predictor.bias[:4].eq(0).all()
    assert network.num_classes == 2


def test_new_predictors_train_and_follow_the_networks_type() -> None:
    network: SSD = build_ssd(TinyBackbone(None), len(OLD), 128).bfloat16()
    network.reset_classes(OLD, NEW)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    network.float()(torch.zeros(1, 3, 128, 128)).logits.sum().backward()
    assert all(head[-1].weight.grad is not None for head in network.class_heads)  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (OLD[:3], NEW, "predicts 4 classes; got 3 old names"),
        (OLD, [], "distinct, and at least one"),
        (OLD, ["a", "a"], "distinct, and at least one"),
        (OLD, "cat", "Give lists of class names"),
    ],
)
def test_names_that_do_not_fit_are_refused(old: list[str], new: list[str], message: str) -> None:
    for network in (build_ssd(TinyBackbone(None), 4, 128), faster_rcnns()[1]):
        with pytest.raises(ValueError, match=message):
            network.reset_classes(old, new)
