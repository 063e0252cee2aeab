"""One training step on four fixed images, shared among the processes that torchrun started, and cut in parts.

Usage: ``first_step.py OUTPUT``: writes the gradients of process 0, for both detectors, with objects on all
images and with objects on the first half only, in one part and in two.
"""

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.utils.data import DataLoader

from detection.cli.compose import checked_config, model_config
from detection.cli.hydra_versions import instantiate
from detection.data.collate import CollateList, CollatePadded
from detection.types import Sample, Target

CONF = Path(__file__).parents[2] / "conf"
SIDE = 96
Gradients = dict[str, Tensor | None]


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
        seed=100 + number,
    )
    return Sample(image, target)


class KeepGradients(pl.Callback):
    def __init__(self) -> None:
        self.gradients: Gradients = {}
        self.losses: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.gradients = {
            name: None if value.grad is None else value.grad.clone()
            for name, value in pl_module.named_parameters()
        }

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.losses = {name: float(value) for name, value in trainer.callback_metrics.items()}


@cache
def configuration(experiment: str) -> dict[str, Any]:
    overrides = [f"experiment={experiment}", "run_dir=/nowhere", "name=x"]
    overrides += ["model.backbone.freeze_batchnorm=true"]  # batch statistics are those of a part
    if "faster_rcnn" in experiment:
        overrides += ["model.rpn_samples=16", "model.roi_samples=16"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(compose("train", overrides=overrides))


def first_step(
    experiment: str, objects: str, parts: Sequence[int] = (4,), **options: Any
) -> tuple[KeepGradients, pl.LightningModule]:
    """Take the step.

    Args:
        experiment: of ``conf``.
        objects: ``on both`` halves of the images or ``on the first``.
        parts: images in each part, over all processes.
        options: of the trainer.

    Returns:
        The gradients as the optimizer's hook saw them, with the losses; and the task after the step.
    """
    config = configuration(experiment)
    pl.seed_everything(0)
    task = instantiate(model_config(config, [str(i) for i in range(8)], None))
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    samples = [sample(i, objects == "on the first" and i >= 2) for i in range(4)]
    batches, start = [], 0
    for size in parts:
        batches.append(range(start + rank * size // world_size, start + (rank + 1) * size // world_size))
        start += size
    collate = CollateList() if "faster_rcnn" in experiment else CollatePadded()
    keep = KeepGradients()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        max_epochs=1,
        accumulate_grad_batches=max(1, len(parts)),
        use_distributed_sampler=False,
        callbacks=[keep],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(task, DataLoader(samples, batch_sampler=batches, collate_fn=collate))  # type: ignore[arg-type]
    if world_size > 1:
        # Searching for unused parameters at every step is slow; every parameter has a gradient instead.
        assert not trainer.strategy._ddp_kwargs.get("find_unused_parameters", False)  # type: ignore[attr-defined]
    return keep, task


if __name__ == "__main__":
    found = {
        f"{experiment} {objects} {len(parts)}": first_step(experiment, objects, parts)[0].gradients
        for experiment in ("quickstart", "quickstart_faster_rcnn")
        for objects in ("on both", "on the first")
        for parts in ((4,), (2, 2))
    }
    if os.environ.get("RANK", "0") == "0":
        torch.save(found, sys.argv[1])
