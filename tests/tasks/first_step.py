"""One training step on four fixed images, shared among the processes that torchrun started.

Usage: ``first_step.py OUTPUT``: writes the gradients of process 0, for both detectors, with objects on all
images and with objects on the first half only.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor
from torch.utils.data import DataLoader

from detection.cli import checked_config, model_config
from detection.data.collate import CollateList, CollatePadded
from detection.types import Sample, Target

CONF = Path(__file__).parents[2] / "conf"
SIDE = 96


def sample(number: int, empty: bool) -> Sample:
    draw = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    count = 0 if empty else 1 + number
    corners = torch.rand(count, 2, generator=draw) * 50
    target = Target(
        boxes=torch.cat((corners, corners + 20 + torch.rand(count, 2, generator=draw) * 20), dim=1),
        labels=torch.arange(count) % 8,
        difficult=torch.zeros(count, dtype=torch.bool),
        image_id=str(number),
        size=(SIDE, SIDE),
    )
    return Sample(image, target)


class KeepGradients(pl.Callback):
    def __init__(self) -> None:
        self.gradients: dict[str, Tensor | None] = {}

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.gradients = {
            name: None if value.grad is None else value.grad.clone()
            for name, value in pl_module.named_parameters()
        }


def first_step(experiment: str, objects: str) -> dict[str, Tensor | None]:
    overrides = [f"experiment={experiment}", "run_dir=/nowhere", "name=x"]
    overrides += ["model.backbone.freeze_batchnorm=true"]
    if "faster_rcnn" in experiment:
        # Samples so large that they take every anchor and every proposal: nothing is left to chance.
        overrides += ["model.rpn_samples=100000", "model.roi_samples=100000"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = checked_config(compose("train", overrides=overrides))
    pl.seed_everything(0)
    task = instantiate(model_config(config, [str(i) for i in range(8)], None))
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    samples = [sample(i, objects == "on the first" and i >= 2) for i in range(4)]
    share = samples[rank * 4 // world_size : (rank + 1) * 4 // world_size]
    collate = CollateList() if "faster_rcnn" in experiment else CollatePadded()
    keep = KeepGradients()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        max_steps=1,
        use_distributed_sampler=False,
        callbacks=[keep],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, DataLoader(share, batch_size=len(share), collate_fn=collate))  # type: ignore[arg-type]
    if world_size > 1:
        # Searching for unused parameters at every step is slow; every parameter has a gradient instead.
        assert not trainer.strategy._ddp_kwargs.get("find_unused_parameters", False)  # type: ignore[attr-defined]
    return keep.gradients


if __name__ == "__main__":
    found = {
        f"{experiment} {objects}": first_step(experiment, objects)
        for experiment in ("quickstart", "quickstart_faster_rcnn")
        for objects in ("on both", "on the first")
    }
    if os.environ.get("RANK", "0") == "0":
        torch.save(found, sys.argv[1])
