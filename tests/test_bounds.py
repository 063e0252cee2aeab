"""What numbers may be: refused on the command line and in a checkpoint's description by the same sentence."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from detection.bounds import MAX_ANCHORS, MAX_SIDE
from detection.checkpoints.description import DescriptionError, check_description
from detection.cli.compose import CONF, checked_config, inference_config, model_config
from detection.data.collate import CollateError, CollatePadded
from detection.models.backbones import ResNetBackbone, TinyBackbone, VGG16AtrousBackbone
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import SSD, build_ssd
from detection.registry import build
from detection.tasks.base import DetectionTask
from detection.types import Sample, Target
from detection.validation.configuration import check_config, find_mistakes
from detection.validation.values import typed
from tests.every import for_every

SSD_CASES: dict[str, list[Any]] = {
    "model.nms_threshold": [3, -0.1, float("nan"), float("inf"), 1e308, True, None, "0.5"],
    "model.score_threshold": [-1, 1.01],
    "model.iou_threshold": [2],
    "model.neg_pos_ratio": [-3, 1e308],
    "model.topk": [-1, 0, 10**6, 1.5],
    "model.max_detections": [0, -1, 10**6],
    "model.network.anchor_sizes": [
        [-16, 30, 52, 90],
        [0, 30, 52, 90],
        [1e308, 1, 1, 1],
        [float("nan")] * 4,
        [],
    ],
    "model.network.anchor_steps": [[0, 16, 32], [-8, 16, 32], [[8, 0], 16, 32], [[8], 16, 32]],
    "model.network.max_anchor_side": [0, -1, float("inf")],
    "model.network.anchors_for": [0, [300]],
    "model.backbone.frozen_blocks": [-1],
    "model.scheduler.final_factor": [-1, float("nan")],
    "model.scheduler.warmup_steps": [-5],
    "model.scheduler.warmup_factor": [1e300],
    "data.size": [0, -3, 10_000, [128, 10_000], [128], [128] * 3, [], 128.0, True, None],
}
FASTER_RCNN_CASES: dict[str, list[Any]] = {
    "model.network.anchor_sizes": [[-16, 32, 64, 128]],
    "model.network.anchor_ratios": [[0, 1, 2], [-1, 1, 2], [1e-9, 1, 2], []],
    "model.network.pre_nms_top": [[0, 0], [-1, 300], [300], 300],
    "model.network.post_nms_top": [[0, 0], [10**6] * 2],
    "model.network.rpn_nms_threshold": [2],
    "model.network.min_size": [-5],
    "model.network.pooled_size": [0, 65],
    "model.network.canonical_size": [0],
    "model.network.channels": [0, 10**6],
    "model.network.dense_channels": [-4],
    "model.rpn_samples": [0],
    "model.roi_samples": [-1],
    "model.positive_fraction": [2],
    "model.roi_beta": [-1],
}
CASES = [
    (experiment, path, value)
    for experiment, cases in (("quickstart", SSD_CASES), ("quickstart_faster_rcnn", FASTER_RCNN_CASES))
    for path, values in cases.items()
    for value in values
]


@cache
def settings(experiment: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={experiment}", "run_dir=/nowhere", "name=test"])
    return checked_config(cfg)


def described(experiment: str) -> dict[str, Any]:
    config = settings(experiment)
    content = {
        "model": model_config(config, ["cat", "dog"], None), "data": inference_config(config["data"])
    }  # fmt: skip
    return copy.deepcopy(content)


def put(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *keys, last = path.split(".")
    place = content
    for key in keys:
        place = place[key]
    place[last] = value
    return content


@for_every(CASES)
def test_a_value_beyond_its_bounds_is_refused(case: tuple[str, str, Any]) -> None:
    experiment, path, value = case
    with pytest.raises(DescriptionError) as refusal:
        check_description(put(described(experiment), path, value))
    assert str(refusal.value).startswith(f"{path}={typed(value)}: give "), refusal.value
    config = put({**described(experiment), "data": copy.deepcopy(settings(experiment)["data"])}, path, value)
    assert [mistake.path for mistake in find_mistakes(config)] == [path]


def test_the_command_line_says_each_once_and_what_is_allowed() -> None:
    words = [
        "experiment=quickstart", "run_dir=/nowhere", "name=test",
        "model.nms_threshold=3", "model.topk=-1", "data.size=-3", "data.eval_batch_size=0",
    ]  # fmt: skip
    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(SystemExit) as refusal,
    ):
        checked_config(compose("train", overrides=words))
    assert sorted(str(refusal.value).splitlines()[1:]) == [
        "data.eval_batch_size=0: give a whole number of at least 1 or null",
        "data.size=-3: give a whole number from 1 to 4,096 or a list of 2 whole numbers from 1 to 4,096, "
        "such as [1,2]",
        "model.nms_threshold=3: give a number from 0 to 1",
        "model.topk=-1: give a whole number from 1 to 10,000",
    ]


@for_every([[], ["cat", "cat"], ["cat", "Cat"], ["cat", " cat "], ["cat", ""], ["strasse", "straße"]])
def test_classes_that_cannot_be_told_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(DescriptionError, match=r"model\.class_names: classes must be distinct names"):
        check_description(put(described("quickstart"), "model.class_names", names))


@for_every(["x", None, {"precision": ["x"]}, {"batches_per_epoch": "many"}, {"batches_per_epoch": 0}])
def test_what_is_told_of_the_training_is_checked(training: Any) -> None:
    with pytest.raises(DescriptionError, match=r"^training"):
        check_description({**described("quickstart"), "training": training})


def test_a_long_training_is_described() -> None:
    training = {"total_steps": 30_000_000, "train_images": 1_700_000, "batches_per_epoch": 1_700_000}
    check_description({**described("quickstart"), "training": training})


def test_an_optimizer_says_at_once_what_it_refuses() -> None:
    content = put(described("quickstart"), "model.optimizer.lr", -1.0)
    with pytest.raises(ValueError, match=r"^optimizer: Invalid learning rate: -1"):
        build(check_description(content)["model"])


def test_large_inputs_fit() -> None:
    with torch.device("meta"):
        finest = build_faster_rcnn_fpn(ResNetBackbone(18, None, (4, 8, 16, 32)), 20)
        ssd = build_ssd(VGG16AtrousBackbone(None), 20, size=2048)
    assert finest.num_anchors((MAX_SIDE, MAX_SIDE)) < MAX_ANCHORS
    assert ssd.num_anchors((MAX_SIDE, MAX_SIDE)) < MAX_ANCHORS
    assert ssd.num_anchors((600, 512)) == len(ssd.anchors_over((600, 512)))
    assert finest.num_anchors((100, 200)) == 3 * (25 * 50 + 13 * 25 + 7 * 13 + 4 * 7 + 2 * 4)


def test_anchors_are_counted_before_memory_is_taken() -> None:
    content = described("quickstart")
    content["model"]["network"] = {
        "_target_": "detection.models.ssd.SSD", "_partial_": True, "strides": [8], "extras": [],
        "anchor_sizes": [16, 30], "anchor_ratios": [[1.0] * 60], "anchor_steps": [8],
    }  # fmt: skip
    task: DetectionTask = build(check_description(content)["model"])
    task.check_inputs(2048, "padded")
    with pytest.raises(ValueError, match=r"data\.size=4096 gives 15,990,784 anchors .* limit of 5,000,000"):
        task.check_inputs(4096, "padded")


def test_the_cells_of_regions_are_counted() -> None:
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match=r"10,000 regions of 14x14 .*post_nms_top or pooled"),
    ):
        build_faster_rcnn_c4(ResNetBackbone(18, None, (16,)), 20, post_nms_top=(2000, 10_000))


def test_extra_layers_have_bounds() -> None:
    node = {
        "_target_": "detection.models.ssd.SSD", "_partial_": True, "strides": [8],
        "anchor_sizes": [16, 30, 60], "anchor_ratios": [[1], [1]], "anchor_steps": [8, 16],
    }  # fmt: skip
    assert check_config({"network": {**node, "extras": [[8, 16, 3, 2, 1]]}}) == []
    for spoilt in (
        [8, 16, 3, 0, 1],
        [8, 16, 3, -2, 1],
        [8, 16, 0, 2, 1],
        [0, 16, 3, 2, 1],
        [8, 16, 3, 2],
        [8] * 6,
    ):
        (error,) = check_config({"network": {**node, "extras": [spoilt]}})
        assert error.startswith(f"network.extras=[{typed(spoilt)}]: give "), spoilt
        assert ", each a list of 5: a whole number from 1 to 4,096; " in error
    assert isinstance(SSD(TinyBackbone(), 2, **{**plain(node), "extras": [(8, 16, 3, 2, 1)]}), SSD)


def plain(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if not key.startswith("_")}


@for_every([("quickstart", "list"), ("quickstart_faster_rcnn", "padded")])
def test_inputs_collated_for_another_network_are_refused(case: tuple[str, str]) -> None:
    experiment, collate = case
    task: DetectionTask = build(described(experiment)["model"])
    with pytest.raises(ValueError, match=rf"data\.collate={collate}: \w+ takes data\.collate="):
        task.check_inputs(settings(experiment)["data"]["size"], collate)


def test_images_of_two_sizes_are_not_stacked() -> None:
    target: Any = Target(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), image_id="", size=(1, 1),
        difficult=torch.zeros(0, dtype=torch.bool),
    )  # fmt: skip
    samples = [Sample(torch.zeros(3, height, 8), target) for height in (8, 9)]
    with pytest.raises(CollateError, match="Images of 8x8 and 9x8 cannot be stacked"):
        CollatePadded()(samples)
