"""timm's models as backbones: families, what is refused, weights, what is frozen."""

import copy
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import timm
import torch
from hydra import compose, initialize_config_dir
from torch import nn
from torch.utils.data import DataLoader

from detection.callbacks.safe_checkpoints import SafeCheckpointIO
from detection.checkpoints import load_detector, load_task
from detection.cli import checked_config, inference_config, model_config
from detection.data.collate import CollatePadded
from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX, IN_TORCH
from detection.exporting.runners import open_onnx, open_torch
from detection.exporting.scenes import generated_scenes
from detection.exporting.verification import agree, verify
from detection.exporting.writers import write_onnx, write_torch
from detection.models.backbones import TimmBackbone
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.ssd import build_ssd
from detection.registry import build
from detection.tasks.base import DetectionTask
from tests.every import for_every
from tests.tasks.first_step import sample

CONF = Path(__file__).parents[3] / "conf"
@cache
def configuration(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["model/backbone=timm", "model.backbone.weights=null", "run_dir=/nowhere", "name=x"]
        return checked_config(compose("train", overrides=[*given, *overrides]))


def described(name: str) -> dict[str, Any]:
    """The description of an SSD for inputs of 96 pixels."""
    config = configuration("model=ssd", "data=shapes", "data.size=96", "trainer=cpu")
    model = model_config(config, [str(label) for label in range(5)], None)
    model["backbone"]["name"] = name
    return {"model": model, "data": inference_config(config["data"])}


def trained(name: str) -> tuple[DetectionTask, pl.Trainer]:
    """An SSD after one step."""
    torch.manual_seed(0)
    task: DetectionTask = build(described(name)["model"])
    task.describe(**described(name))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        plugins=[SafeCheckpointIO()],
    )
    samples = [sample(number, empty=False) for number in range(4)]
    trainer.fit(task, DataLoader(samples, batch_size=4, collate_fn=CollatePadded()))  # type: ignore[arg-type]
    return task.eval(), trainer


@for_every(name for name in FAMILIES if name not in LARGE)
def test_a_family_is_trained_kept_and_opened_again(name: str) -> None:
    task, trainer = trained(name)
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in task.parameters())
    with TemporaryDirectory() as folder:
        trainer.save_checkpoint(Path(folder) / "last.ckpt")
        detector = load_detector(Path(folder) / "last.ckpt")
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    (found,) = detector([image])
    assert found["boxes"].shape == (len(found["scores"]), 4)
    images = detector.prepare(image).image[None]
    with torch.no_grad():
        for ours, theirs in zip(detector.task(images), task(images), strict=True):
            assert torch.equal(ours, theirs)

