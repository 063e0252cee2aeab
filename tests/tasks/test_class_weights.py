"""Weights of classes: from names to labels, into the losses of both detectors, through a description."""

import copy
from typing import Any

import pytest
import torch

from detection.checkpoints.description import DescriptionError, check_description
from detection.losses.multibox import multibox_loss
from detection.losses.roi import roi_loss
from detection.models.backbones import TinyBackbone
from detection.registry import build
from detection.tasks.class_weights import by_label
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from tests.checkpoints.test_descriptions import described
from tests.tasks import test_faster_rcnn_task as of_faster_rcnn
from tests.tasks import test_ssd_task as of_ssd


def test_weights_are_put_in_the_order_of_the_labels() -> None:
    weights = by_label({"Traffic light": 3, "cat": 0.5}, ["cat", "dog", "traffic light"])
    assert weights is not None
    assert weights.tolist() == [1, 0.5, 1, 3]
    assert by_label(None, ["cat"]) is None
    assert by_label({}, ["cat"]) is None


@pytest.mark.parametrize(("name", "told"), [("dgo", "did you mean 'dog'"), ("zebra", "they are cat, dog")])
def test_a_class_that_there_is_not_is_refused(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.class_weights: '{name}' is none of the classes; {told}"):
        by_label({name: 2.0}, ["cat", "dog"])


def test_ssd_weighs_its_classes() -> None:
    torch.manual_seed(0)
    task = SSDTask(
        *(TinyBackbone(), of_ssd.make_network, of_ssd.NAMES, of_ssd.make_optimizer, Cosine()),  # type: ignore[arg-type]
        class_weights={"dog": 4.0, "owl": 0.5},
    )
    plain, batch = of_ssd.make_task(), of_ssd.make_batch()
    assert task.state_dict().keys() == plain.state_dict().keys(), "weights are no part of the network"
    out = task(batch.images)
    gt = task.assign(out.anchors, batch.boxes, batch.labels)
    weights = torch.tensor([1, 1, 4, 0.5])
    assert torch.equal(
        task.loss(out, gt).total, multibox_loss(out.logits, out.deltas, *gt, 3.0, weights).total
    )
    assert torch.equal(plain.loss(out, gt).total, multibox_loss(out.logits, out.deltas, *gt).total)
    assert not torch.equal(plain.loss(out, gt).total, task.loss(out, gt).total)


def test_faster_rcnn_weighs_its_classes_in_training_and_in_evaluation() -> None:
    weights = {"dog": 4.0, "owl": 0.5}
    plain, task = of_faster_rcnn.make_task(), of_faster_rcnn.make_task(class_weights=weights)  # type: ignore[arg-type]
    batch = of_faster_rcnn.mixed_batch()
    for each in (plain, task):
        each.eval()
    with torch.no_grad():
        stage = task.propose(batch.images).image(0)
        boxes, labels = [batch.targets[0]["boxes"]], [batch.targets[0]["labels"]]
        gt = task.sample_proposals(stage.proposals, boxes, labels, seeds=[0])
        roi = task.network.roi_head(stage.features, gt.proposals)
        assert (gt.labels > 1).any()
        by_name = torch.tensor([1, 1, 4, 0.5])
        expected = roi_loss(roi.logits, roi.deltas, gt.labels, gt.deltas, class_weights=by_name)
        assert torch.equal(task.roi_loss(roi, gt).cls, expected.cls)
        assert torch.equal(
            plain.roi_loss(roi, gt).cls, roi_loss(roi.logits, roi.deltas, gt.labels, gt.deltas).cls
        )
        weighted, unweighted = task.evaluate_batch(batch)[2], plain.evaluate_batch(batch)[2]
    assert not torch.equal(weighted["loss_roi_cls"], unweighted["loss_roi_cls"])
    for name in ("loss_rpn_cls", "loss_rpn_box", "loss_roi_box"):
        assert torch.equal(weighted[name], unweighted[name])


@pytest.fixture(scope="module")
def weighted() -> dict[str, Any]:
    content = described("experiment=quickstart", "model.class_weights={traffic light: 3, cat: 0.5}")
    content["model"]["class_names"] = ["cat", "traffic light"]
    return content


def test_a_checkpoint_tells_them_whatever_classes_are_called(weighted: dict[str, Any]) -> None:
    checked = check_description(weighted)
    assert checked["model"]["class_weights"] == {"traffic light": 3, "cat": 0.5}
    task = build(checked["model"])
    assert isinstance(task, SSDTask)
    assert task.class_weights is not None
    assert task.class_weights.tolist() == [1, 0.5, 3]


@pytest.mark.parametrize(
    "weights",
    [
        {"_target_": "os.system"},
        {"cat": {"_target_": "os.system"}},
        {"cat": [{"_target_": "os.system"}]},
        {"cat": "heavy"},
        {"cat": -1.0},
        {"c\nat": 1.0},
    ],
)
def test_anything_else_in_their_place_is_refused(weighted: dict[str, Any], weights: object) -> None:
    content = copy.deepcopy(weighted)
    content["model"]["class_weights"] = weights
    with pytest.raises(DescriptionError, match=r"class_weights|_target_"):
        check_description(content)
