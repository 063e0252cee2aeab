"""timm's models as backbones: twelve families, what is refused, weights, what is frozen and what is taken."""

import socket
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import pytest
import pytorch_lightning as pl
import safetensors.torch
import timm
import torch
from hydra import compose, initialize_config_dir
from torch import nn
from torch.utils.data import DataLoader

from detection.callbacks.safe_checkpoints import SafeCheckpointIO, finish_checkpoints
from detection.checkpoints.loading import load_detector, load_task
from detection.cli.compose import checked_config, inference_config, model_config
from detection.data.collate import CollatePadded
from detection.models.backbones import TimmBackbone
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import build_ssd
from detection.registry import build
from detection.tasks.base import DetectionTask
from tests.every import for_every
from tests.tasks.first_step import sample
from tests.timm_families import FAMILIES

CONF = Path(__file__).parents[3] / "conf"


@cache
def configuration() -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        network = ["model=ssd", "model/backbone=timm", "model.backbone.weights=null"]
        inputs = ["data=shapes", "data.size=96", "run_dir=/nowhere", "name=x"]
        return checked_config(compose("train", overrides=[*network, *inputs]))


def described(name: str) -> dict[str, Any]:
    """What a checkpoint says of an SSD on a model of timm."""
    model = model_config(configuration(), [str(label) for label in range(5)], None)
    backbone = {**model["backbone"], "name": name}
    return {"model": {**model, "backbone": backbone}, "data": inference_config(configuration()["data"])}


def trained(name: str) -> tuple[DetectionTask, pl.Trainer]:
    """An SSD after one step."""
    torch.manual_seed(0)
    task: DetectionTask = build(described(name)["model"])
    task.describe(**described(name))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        plugins=[SafeCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    samples = [sample(number, empty=False) for number in range(4)]
    trainer.fit(task, DataLoader(samples, batch_size=4, collate_fn=CollatePadded()))  # type: ignore[arg-type]
    return task.eval(), trainer


def check_family(name: str) -> None:
    task, trainer = trained(name)
    learning = [parameter for parameter in task.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learning)
    with TemporaryDirectory() as folder:
        trainer.save_checkpoint(Path(folder) / "last.ckpt")
        finish_checkpoints(trainer)
        with mock.patch.object(socket, "socket", side_effect=AssertionError("asks the network")):
            detector = load_detector(Path(folder) / "last.ckpt")
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    (found,) = detector([image])
    assert found["boxes"].shape == (len(found["scores"]), 4)
    images = detector.prepare(image).image[None]
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(detector.task(images), task(images), strict=True))


test_families_train_are_kept_and_opened_again = for_every(FAMILIES[:3])(check_family)
test_the_other_families_do_so_too = pytest.mark.slow(for_every(FAMILIES[3:])(check_family))


def test_a_transformer_takes_any_size_and_has_its_channels_first() -> None:
    backbone = TimmBackbone("swin_tiny_patch4_window7_224", None, (4, 8, 16, 32))
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


def test_colours_are_those_of_the_models_weights() -> None:
    assert TimmBackbone("efficientnet_lite0", None).mean == pytest.approx((123.675, 116.28, 103.53))
    inception = TimmBackbone("tf_mobilenetv3_small_minimal_100", None)
    assert inception.mean == inception.std == (127.5, 127.5, 127.5)


# What is refused

REFUSED = {
    "resnet50.a1_in1k": "is none of timm's models, .* did you mean resnet50?",
    "hf-hub:timm/resnet18": "is none of timm's models, whose names have no tag, hub or folder",
    "local-dir:/tmp": "is none of timm's models",
    "/tmp": "is none of timm's models",
    "vit_tiny_patch16_224": r"not give maps of strides 8, 16 and 32 .*\(its maps have strides \[16\]\)",
    "maxvit_pico_rw_256": "for inputs of any size",
    "mobilevitv2_050": r"it gives .* where .* are expected",
}


@for_every(REFUSED.items())
def test_others_are_refused_in_a_sentence(case: tuple[str, str]) -> None:
    name, reason = case
    with mock.patch.object(timm, "create_model", wraps=timm.create_model) as create:
        with pytest.raises(ValueError, match=reason) as caught:
            TimmBackbone(name, None)
        assert "\n" not in str(caught.value)
        # Of what is not in timm's list nothing is looked up.
        assert create.called == (name in timm.list_models())


def test_maps_that_a_model_has_not_are_refused() -> None:
    for strides in ((4, 8, 64), (16, 8), ()):
        with pytest.raises(ValueError, match=r"has maps of strides \[2, 4, 8, 16, 32\], in this order, not"):
            TimmBackbone("resnet10t", None, strides)


def test_a_size_that_a_model_does_not_round_is_refused() -> None:
    backbone = TimmBackbone("dla46_c", None)
    with pytest.raises(ValueError, match=r"no inputs of 300x300 pixels \(.*\): set data\.size to a mul.* 32"):
        build_ssd(backbone, 2, 300)
    assert build_ssd(backbone, 2, 320).feature_sizes((320, 320))[:2] == [(40, 40), (20, 20)]


def test_without_timm_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"model/backbone=timm needs timm .*pip install -e '\.\[timm\]'"):
        TimmBackbone("resnet10t", None)


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "of a hub": ({"name": "hf-hub:evil/resnet10t"}, "cannot be built: model.backbone.name='hf-hub:evil"),
    "of a folder": ({"name": "local-dir:/tmp"}, "cannot be built: model.backbone.name='local-dir:/tmp'"),
    "of a tag": ({"name": "resnet10t.c3_in1k"}, "cannot be built: model.backbone.name='resnet10t.c3"),
    "a list": ({"name": ["resnet10t"]}, "cannot be opened safely: model.backbone.name"),
    "a file": ({"checkpoint_path": "/tmp/x"}, "TimmBackbone has no argument 'checkpoint_path'"),
    "a place": ({"pretrained_cfg": {"file": "/tmp/x"}}, "model.backbone.pretrained_cfg: takes no dict"),
    "weights": ({"weights": "/nowhere/x.pth"}, ""),
    "a download": ({"weights": "imagenet"}, ""),
}


def test_a_checkpoint_names_models_of_timms_list_alone(tmp_path: Path) -> None:
    description = described("resnet10t")
    state = {"state_dict": build(description["model"]).state_dict()}
    for kind, (spoilt, refusal) in SPOILT.items():
        model = {**description["model"], "backbone": {**description["model"]["backbone"], **spoilt}}
        path = tmp_path / f"{kind}.ckpt"
        torch.save({**state, "hyper_parameters": {**description, "format": 2, "model": model}}, path)
        with mock.patch.object(socket, "socket", side_effect=AssertionError("asks the network")):
            if not refusal:
                load_task(path)  # what the weights began with is neither read nor fetched
                continue
            with pytest.raises(ValueError, match=refusal):
                load_task(path)


# Weights


WRITERS: dict[str, Callable[[dict[str, torch.Tensor], Path], None]] = {
    "weights.pth": torch.save,
    "weights.safetensors": safetensors.torch.save_file,
}


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("file", WRITERS)
def test_a_classifiers_file_gives_the_classifiers_features(name: str, file: str, tmp_path: Path) -> None:
    classifier = timm.create_model(name).eval()
    for key, buffer in classifier.named_buffers():
        if key.endswith(("mean", "var")):
            buffer.uniform_(0.5, 1.5)
    WRITERS[file](classifier.state_dict(), tmp_path / file)
    backbone = TimmBackbone(name, str(tmp_path / file)).eval()
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        expected = classifier.forward_intermediates(images, intermediates_only=True)[-3:]  # type: ignore[operator]
        for ours, theirs in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_convnext").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth does not fit this backbone: .* tensors are missing"):
        TimmBackbone("resnet10t", str(tmp_path / "w.pth"))
    (tmp_path / "w.safetensors").write_bytes(b"no header")
    for name, reason in (("w.safetensors", "cannot be read"), ("x.safetensors", "There is no weights file")):
        with pytest.raises(ValueError, match=reason):
            TimmBackbone("resnet10t", str(tmp_path / name))


def test_weights_that_cannot_be_had_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr("timm.models._builder.load_pretrained", fail)
    remedy = r"pass model.backbone.weights=/path/to/file, or null for random ones\.$"
    with pytest.raises(ValueError, match=rf"timm's weights of resnet10t \(no route to host\): {remedy}"):
        TimmBackbone("resnet10t")
    with pytest.raises(ValueError, match=f"timm has no weights of cs3darknet_s: {remedy}"):
        TimmBackbone("cs3darknet_s")


# What is frozen, and what is taken


def test_blocks_reach_from_stride_to_stride() -> None:
    for name, last in (("resnet10t", "layer1"), ("convnext_atto", "stages_0"), ("regnetx_002", "s1")):
        backbone = TimmBackbone(name, None, frozen_blocks=2)
        frozen = {key.split(".")[1] for key, value in backbone.named_parameters() if not value.requires_grad}
        assert last in frozen
        assert frozen.isdisjoint({"layer2", "stages_1", "s2"})
        assert len(backbone.blocks()) == 5
    with pytest.raises(ValueError, match=r"does not come in parts .* set model\.backbone\.frozen_blocks=0"):
        TimmBackbone("hrnet_w18_small", None, frozen_blocks=1)


def test_frozen_norms_keep_their_statistics_and_do_not_learn() -> None:
    backbone = TimmBackbone("test_efficientnet", None, freeze_batchnorm=True).train()
    before = [buffer.clone() for buffer in backbone.buffers()]
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(old, new) for old, new in zip(before, backbone.buffers(), strict=True))
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())


def test_norms_that_sync_keep_their_activations() -> None:
    backbone = TimmBackbone("test_efficientnet", None).eval()
    images = torch.randn(1, 3, 64, 64)
    before = backbone(images)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(backbone).eval()
    assert any(isinstance(module, nn.SyncBatchNorm) for module in synced.modules())
    for ours, theirs in zip(synced(images), before, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_no_map_depends_on_does_not_wait_for_a_gradient() -> None:
    backbone = TimmBackbone("test_efficientnet", None, (8, 16)).train()
    sum(x.sum() for x in backbone(torch.rand(2, 3, 64, 64))).backward()
    learning = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in learning)
    assert len(learning) < len(list(backbone.parameters()))


@pytest.mark.parametrize("name", ["resnet10t", "test_efficientnet"])
def test_the_last_stage_runs_on_regions(name: str) -> None:
    whole = TimmBackbone(name, None, (16, 32)).eval()
    parted = TimmBackbone(name, None, (16,))
    parted.load_state_dict(whole.state_dict())
    network = build_faster_rcnn_c4(parted, 3, rpn_channels=8, pre_nms_top=(60, 60), post_nms_top=(20, 20))
    stage, images = network.eval().roi_head.body.layer4, torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        (features,), expected = parted(images), whole(images)
        torch.testing.assert_close(features, expected[0])
        torch.testing.assert_close(stage(features), expected[1])  # type: ignore[operator]
        assert network([images[0] * 255]).roi.logits.shape[1] == 4
    with pytest.raises(ValueError, match="whose last stage is free"):
        parted.take_last_stage()


def test_a_last_stage_that_cannot_be_taken_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got strides \(8, 16, 32\). Set model.backbone.strides=\[16\]"):
        build_faster_rcnn_c4(TimmBackbone("resnet10t", None), 3)
    with pytest.raises(ValueError, match="cannot be run on regions by itself: choose another"):
        build_faster_rcnn_c4(TimmBackbone("test_mambaout", None, (16,)), 3)


def test_a_pyramid_of_all_maps() -> None:
    backbone = TimmBackbone("test_mambaout", None, (4, 8, 16, 32))
    network = build_faster_rcnn_fpn(backbone, 3, channels=8, dense_channels=8, post_nms_top=(20, 20)).eval()
    with torch.no_grad():
        assert network([torch.rand(3, 70, 90) * 255]).roi.deltas.shape[1:] == (3, 4)
